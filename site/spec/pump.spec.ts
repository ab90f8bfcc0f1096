import { Pump, type PumpOptions } from '../playground/pump.js';

/** A program of timers, and real time that passes only while the pump sleeps. */
class Bench {
  real = 0;
  now = 0;
  readonly timers: { readonly at: number; readonly run: () => void }[] = [];
  /** The timers that ran: their time, and the real time at which they ran. */
  readonly ran: { readonly at: number; readonly real: number }[] = [];
  readonly pauses: boolean[] = [];
  readonly shown: number[] = [];
  isDone = true;
  onSleep = (): void => {};

  get nextAt(): number | undefined {
    return this.timers[0]?.at;
  }

  add(at: number, run = (): void => {}): void {
    this.timers.push({ at, run });
    this.timers.sort((one, other) => one.at - other.at);
  }

  runNext(): void {
    const timer = this.timers.shift();
    if (timer === undefined) return;
    this.now = timer.at;
    this.ran.push({ at: timer.at, real: this.real });
    timer.run();
  }

  advanceTo(time: number): void {
    expect(time).toBeLessThanOrEqual(this.nextAt ?? Number.POSITIVE_INFINITY);
    this.now = Math.max(this.now, Math.floor(time));
  }

  pump(options: Partial<PumpOptions> = {}): Pump {
    return new Pump({
      clock: this,
      speed: 1,
      paused: false,
      realNow: () => this.real,
      sleep: async (delay) => {
        this.real += delay;
        this.onSleep();
      },
      settle: async () => {},
      isDone: () => this.isDone,
      onRound: async (show) => {
        if (show) this.shown.push(this.now);
      },
      onPause: (paused) => this.pauses.push(paused),
      ...options,
    });
  }

  get times(): readonly number[] {
    return this.ran.map(({ at }) => at);
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe('The time of a program', () => {
  it.each([0.25, 1, 4])('passes at %d times the real time', async (speed) => {
    for (const at of [100, 200, 1000]) bench.add(at);
    await expect(bench.pump({ speed }).run()).resolves.toBe(true);
    expect(bench.times).toEqual([100, 200, 1000]);
    for (const { at, real } of bench.ran) expect(Math.abs(real - at / speed)).toBeLessThan(1);
  });

  it('needs no real time at full speed', async () => {
    for (const at of [1, 1_000_000, 2_000_000_000]) bench.add(at);
    await bench.pump({ speed: Number.POSITIVE_INFINITY }).run();
    expect(bench.ran.map(({ real }) => real)).toEqual([0, 0, 0]);
  });

  it('changes its speed at once', async () => {
    bench.add(100);
    bench.add(10_000);
    const pump = bench.pump();
    bench.onSleep = () => {
      if (bench.now >= 100) pump.command({ type: 'speed', speed: Number.POSITIVE_INFINITY });
    };
    await pump.run();
    expect(bench.ran.at(-1)?.real).toBeLessThan(200);
  });

  it('does not jump when the computer has slept, or the program was busy', async () => {
    bench.add(50, () => {
      bench.real += 3_600_000;
    });
    bench.add(1000);
    await bench.pump().run();
    expect(bench.ran[1]?.real).toBeGreaterThan(3_600_000 + 800);
  });

  it('ends with what a timer throws', async () => {
    bench.add(10, () => {
      throw new Error('mine');
    });
    await expect(bench.pump().run()).rejects.toThrow('mine');
  });
});

describe('A paused program', () => {
  it('runs all timers of one moment in a step, and shows what has changed', async () => {
    for (const at of [100, 100, 100, 101, 200]) bench.add(at);
    const pump = bench.pump({ paused: true });
    const steps: (readonly number[])[] = [];
    bench.onSleep = () => {
      steps.push(bench.times);
      if (bench.timers.length > 0) pump.command({ type: 'step' });
    };
    await pump.run();
    expect(steps.slice(0, 4)).toEqual([[], [100, 100, 100], [100, 100, 100, 101], [100, 100, 100, 101, 200]]);
    expect(bench.shown).toEqual([100, 101, 200]);
    expect(bench.pauses).toEqual([true, true, true]);
  });

  it('continues where it was', async () => {
    for (const at of [100, 200]) bench.add(at);
    const pump = bench.pump();
    let asleep = 0;
    bench.onSleep = () => {
      if (bench.now >= 100 && bench.now < 200 && asleep++ < 100)
        pump.command({ type: asleep < 100 ? 'pause' : 'resume' });
    };
    await pump.run();
    expect(bench.pauses).toEqual([true, false]);
    expect((bench.ran[1]?.real ?? 0) - (bench.ran[0]?.real ?? 0)).toBeGreaterThan(1000);
    expect(bench.times).toEqual([100, 200]);
  });

  it('pauses after a step while it runs', async () => {
    for (const at of [500, 1000]) bench.add(at);
    const pump = bench.pump();
    let asleep = 0;
    bench.onSleep = () => {
      if (asleep++ === 3) pump.command({ type: 'step' });
      if (asleep === 50) pump.end();
    };
    await pump.run();
    expect(bench.times).toEqual([500]);
    expect(bench.ran[0]?.real).toBeLessThan(200);
  });
});

describe('A program without timers', () => {
  it('has finished when its module has ended', async () => {
    await expect(bench.pump().run()).resolves.toBe(true);
    expect(bench.real).toBeLessThan(200);
  });

  it('is given up later if its module waits', async () => {
    bench.isDone = false;
    await expect(bench.pump({ paused: true }).run()).resolves.toBe(false);
    expect(bench.real).toBeGreaterThan(500);
    expect(bench.real).toBeLessThan(1000);
  });

  it('continues if a promise of the browser brings a timer in time', async () => {
    bench.isDone = false;
    let added = false;
    bench.onSleep = () => {
      if (bench.real < 300 || added) return;
      added = true;
      bench.isDone = true;
      bench.add(5000);
    };
    await expect(bench.pump({ speed: Number.POSITIVE_INFINITY }).run()).resolves.toBe(true);
    expect(bench.times).toEqual([5000]);
  });
});
