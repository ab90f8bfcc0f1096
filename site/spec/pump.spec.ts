import fc from 'fast-check';
import type { Command } from '../playground/protocol';
import { VirtualRun } from './virtual-time';

const SPEED = (speed: number): Command => ({ type: 'speed', speed });
const PAUSE: Command = { type: 'pause' };
const RESUME: Command = { type: 'resume' };
const STEP: Command = { type: 'step' };

/** The real time of a trace entry. */
const realOf = (run: VirtualRun, name: string): number =>
  Number(run.trace.find((entry) => entry.startsWith(`${name}@`))?.split('/')[1]);

describe('the time of a program', () => {
  it.each([0.25, 0.5, 1, 2, 8])('passes %s times as fast as real time', async (speed) => {
    const run = new VirtualRun({ speed });
    for (const delay of [50, 400, 1000]) run.timer(`${delay}`, delay);
    expect(await run.pump.run()).toBe(true);
    expect(run.times).toEqual(['50@50', '400@400', '1000@1000']);
    for (const delay of [50, 400, 1000]) {
      expect(realOf(run, `${delay}`)).toBeGreaterThanOrEqual(Math.floor(delay / speed));
      // One frame later at most.
      expect(realOf(run, `${delay}`)).toBeLessThanOrEqual(delay / speed + 17);
    }
    expect(Math.max(...run.sleeps)).toBeLessThanOrEqual(16);
  });

  it('goes on while no timer is due', async () => {
    const run = new VirtualRun();
    run.timer('a', 1000);
    run.at(500, () => {
      run.trace.push(`${Math.abs(run.clock.now - 500) <= 17}`);
      run.pump.end();
    });
    await run.pump.run();
    expect(run.trace).toEqual(['true']);
  });

  it('needs no real time without waiting', async () => {
    const run = new VirtualRun({ speed: Number.POSITIVE_INFINITY });
    run.timer('hour', 3_600_000, () => run.timer('next', 3_600_000));
    run.timer('soon', 5);
    expect(await run.pump.run()).toBe(true);
    expect(run.trace).toEqual(['soon@5/0', 'hour@3600000/0', 'next@7200000/0']);
  });

  it('changes its speed at once', async () => {
    const run = new VirtualRun({ speed: 0.25 });
    run.timer('a', 100);
    run.timer('b', 200);
    run.command(200, SPEED(2));
    run.command(225, SPEED(0.5));
    await run.pump.run();
    // 50 ms at ¼, 50 ms at 2, 100 ms at ½.
    expect(realOf(run, 'a')).toBeGreaterThanOrEqual(222);
    expect(realOf(run, 'a')).toBeLessThanOrEqual(245);
    expect(realOf(run, 'b')).toBeGreaterThanOrEqual(420);
    expect(realOf(run, 'b')).toBeLessThanOrEqual(442);
  });

  it('does not catch up after the speed was without limit', async () => {
    const run = new VirtualRun({ speed: Number.POSITIVE_INFINITY, paused: true });
    run.timer('a', 1000);
    run.timer('b', 2000);
    run.command(5000, SPEED(1), RESUME);
    await run.pump.run();
    expect(realOf(run, 'a')).toBeGreaterThanOrEqual(6000);
    expect(realOf(run, 'b')).toBeGreaterThanOrEqual(7000);
  });

  it('counts a gap, as of a suspended tab, as 100 milliseconds', async () => {
    const run = new VirtualRun();
    run.timer('a', 95);
    run.timer('b', 150);
    run.timer('c', 300);
    run.delay = 10_000;
    await run.pump.run();
    expect(run.times).toEqual(['a@95', 'b@150', 'c@300']);
    expect(realOf(run, 'a')).toBeGreaterThan(10_000);
    expect(realOf(run, 'b')).toBeGreaterThan(20_000);
    expect(realOf(run, 'c')).toBeGreaterThan(30_000);
  });

  it('gets slower for timers that need more time than there is', async () => {
    const run = new VirtualRun();
    // Each takes 500 ms of real time.
    for (let index = 1; index <= 5; index++)
      run.timer(`${index}`, index * 10, () => {
        run.real += 500;
      });
    run.timer('last', 400);
    await run.pump.run();
    expect(run.times).toEqual(['1@10', '2@20', '3@30', '4@40', '5@50', 'last@400']);
    expect(realOf(run, 'last')).toBeGreaterThanOrEqual(2500 + 200);
  });

  it('passes in a loop of timers of 0 ms, and lets commands in', async () => {
    const run = new VirtualRun({ speed: Number.POSITIVE_INFINITY });
    let count = 0;
    const loop = (): void => {
      if (++count === 100) run.pump.command(PAUSE);
      if (count === 200) run.pump.end();
      run.scope.setTimeout(loop, 0);
    };
    loop();
    run.at(20, () => run.trace.push(`${count}@${run.clock.now}`));
    run.command(20, RESUME);
    await run.pump.run();
    expect(run.trace).toEqual(['100@99']);
    expect(count).toBe(200);
  });
});

describe('the time before a program', () => {
  it('does not count', async () => {
    const run = new VirtualRun();
    // The browser still loads the program, and the reader is impatient.
    run.real = 60_000;
    run.pump.command(SPEED(2));
    run.real += 60_000;
    run.pump.command(PAUSE);
    run.pump.command(RESUME);
    run.timer('a', 50);
    await run.pump.run();
    expect(realOf(run, 'a')).toBeGreaterThanOrEqual(120_025);
    expect(realOf(run, 'a')).toBeLessThanOrEqual(120_042);
  });
});

describe('a paused program', () => {
  it('stands still until it is resumed', async () => {
    const run = new VirtualRun({ paused: true });
    run.timer('a', 40);
    run.command(1000, RESUME);
    run.command(1020, PAUSE, PAUSE);
    run.command(2000, RESUME, RESUME);
    await run.pump.run();
    expect(run.times).toEqual(['a@40']);
    expect(realOf(run, 'a')).toBeGreaterThanOrEqual(2020);
    expect(run.states.map((state) => state.split('@')[0])).toEqual(['running', 'paused', 'running']);
    expect(Math.max(...run.sleeps)).toBeLessThanOrEqual(25);
  });

  it('keeps a speed for later', async () => {
    const run = new VirtualRun({ paused: true });
    run.timer('a', 800);
    run.command(100, SPEED(8));
    run.command(1000, RESUME);
    await run.pump.run();
    expect(realOf(run, 'a')).toBeGreaterThanOrEqual(1100);
    expect(realOf(run, 'a')).toBeLessThanOrEqual(1117);
  });

  it('runs all timers of the next moment in a step, also those that they start', async () => {
    const run = new VirtualRun({ paused: true });
    // After the timer, since its own time passes for what it starts.
    const later = () => run.scope.setImmediate(() => run.trace.push('immediate'));
    run.timer('a', 30, () => void Promise.resolve().then(later));
    run.timer('b', 30);
    run.timer('c', 31);
    run.command(100, STEP);
    run.at(200, () => run.trace.push('later'));
    run.command(300, STEP);
    run.command(400, RESUME);
    await run.pump.run();
    expect(run.times).toEqual(['a@30', 'immediate', 'b@30', 'later', 'c@31']);
    expect(run.states.slice(0, 2)).toEqual(['paused@30', 'paused@31']);
    expect(run.shows).toBe(2);
  });

  it('ends a step that never ends', async () => {
    const run = new VirtualRun({ paused: true });
    let count = 0;
    const loop = (): void => {
      count++;
      void Promise.resolve().then(() => run.scope.setImmediate(loop));
    };
    run.timer('a', 10, loop);
    run.command(50, STEP);
    run.at(100, () => run.pump.end());
    await run.pump.run();
    expect(count).toBe(1000);
    expect(run.states).toEqual(['paused@10']);
  });

  it('takes several steps, one after another', async () => {
    const run = new VirtualRun({ paused: true });
    for (let index = 1; index <= 4; index++) run.timer(`${index}`, index * 10);
    run.command(10, STEP, STEP, STEP);
    run.at(500, () => run.pump.end());
    await run.pump.run();
    expect(run.trace).toEqual(['1@10/10', '2@20/10', '3@30/10']);
  });

  it.each<[string, readonly Command[], string[]]>([
    ['running', [STEP, RESUME], ['running@0', 'running@30', 'b@60']],
    ['paused', [RESUME, STEP], ['running@0', 'paused@30']],
    ['paused after two', [STEP, RESUME, STEP], ['running@0', 'paused@30', 'paused@60', 'b@60']],
  ])('is %s if that was the last command', async (_name, commands, result) => {
    const run = new VirtualRun({ paused: true });
    run.timer('a', 30);
    run.timer('b', 60);
    run.timer('c', 3_600_000);
    run.command(100, ...commands);
    run.at(1000, () => run.pump.end());
    await run.pump.run();
    expect([...run.states, ...run.times.slice(1)]).toEqual(result);
    expect(run.times[0]).toBe('a@30');
  });

  it('pauses a running program with a step', async () => {
    const run = new VirtualRun();
    run.timer('a', 500);
    run.timer('b', 600);
    run.command(100, STEP);
    run.at(5000, () => run.pump.end());
    await run.pump.run();
    expect(run.trace).toEqual(['a@500/100']);
    expect(run.states).toEqual(['paused@500']);
  });
});

describe('the end of a program', () => {
  it.each([
    [true, 50],
    [false, 500],
  ])('comes when nothing has happened for a while, whether its module is done: %s', async (done, quiet) => {
    for (const options of [{ speed: 1 }, { speed: Number.POSITIVE_INFINITY }, { paused: true }]) {
      const run = new VirtualRun(options);
      run.done = done;
      expect(await run.pump.run()).toBe(done);
      expect(run.real).toBeGreaterThan(quiet);
      expect(run.real).toBeLessThanOrEqual(quiet + 50);
    }
  });

  it('does not come while promises keep the program busy', async () => {
    const run = new VirtualRun();
    run.done = false;
    run.unsettledRounds = 100;
    run.at(5000, () => {
      run.done = true;
    });
    expect(await run.pump.run()).toBe(true);
    expect(run.real).toBeGreaterThan(5000);
  });

  it('waits for the next timer', async () => {
    const run = new VirtualRun();
    run.timer('a', 10_000);
    expect(await run.pump.run()).toBe(true);
    expect(run.times).toEqual(['a@10000']);
    expect(run.real).toBeGreaterThan(10_050);
  });

  it('does not come if a promise of the browser brings a timer in time', async () => {
    const run = new VirtualRun({ speed: Number.POSITIVE_INFINITY });
    run.done = false;
    run.at(300, () => {
      run.done = true;
      run.timer('a', 5000);
    });
    expect(await run.pump.run()).toBe(true);
    expect(run.times).toEqual(['a@5000']);
  });

  it('comes at once by `end`, also during a step', async () => {
    const run = new VirtualRun({ paused: true });
    run.timer('a', 10, () => run.pump.end());
    run.timer('b', 10);
    run.command(0, STEP);
    run.done = false;
    expect(await run.pump.run()).toBe(false);
    expect(run.times).toEqual(['a@10']);
    expect(run.states).toEqual([]);
  });

  it('is what a timer throws', async () => {
    const run = new VirtualRun();
    const error = new Error('bad');
    run.timer('a', 10, () => {
      throw error;
    });
    await expect(run.pump.run()).rejects.toBe(error);
  });
});

/** A timer, and the timers that it starts. */
interface Plan {
  readonly delay: number;
  readonly starts: readonly Plan[];
}

const { plan } = fc.letrec<{ plan: Plan }>((tie) => ({
  plan: fc.record({
    delay: fc.oneof(fc.nat(3), fc.nat(100), fc.nat(2000)),
    starts: fc.oneof({ maxDepth: 3 }, fc.constant([]), fc.array(tie('plan'), { maxLength: 3 })),
  }),
}));

const command = fc.oneof(
  fc.constantFrom(PAUSE, RESUME, STEP, STEP),
  fc.constantFrom(0.25, 1, 8, Number.POSITIVE_INFINITY).map(SPEED),
);

/** The order of a scheduler without any speed: by time, then by start. */
function expectedOrder(plans: readonly Plan[]): string[] {
  const trace: string[] = [];
  const timers: { readonly at: number; readonly id: number; readonly plan: Plan }[] = [];
  let now = 0;
  let count = 0;
  const start = (given: Plan) => timers.push({ at: now + Math.max(1, given.delay), id: count++, plan: given });
  plans.forEach(start);
  while (timers.length > 0) {
    timers.sort((one, other) => one.at - other.at || one.id - other.id);
    const next = timers.shift() as (typeof timers)[0];
    now = next.at;
    trace.push(`${next.id}@${now}`);
    next.plan.starts.forEach(start);
  }
  return trace;
}

describe('the order of timers', () => {
  it('does not depend on speeds, pauses, steps and gaps', async () => {
    const commands = fc.array(fc.tuple(fc.nat(3000), command), { maxLength: 15 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { maxLength: 5 }),
        commands,
        fc.boolean(),
        fc.nat(300),
        async (plans, given, paused, delay) => {
          const run = new VirtualRun({ paused });
          run.delay = delay;
          let count = 0;
          const start = ({ delay: after, starts }: Plan): void =>
            run.timer(`${count++}`, after, () => starts.forEach(start));
          plans.forEach(start);
          for (const [real, one] of given) run.command(real, one);
          run.command(3000, RESUME, SPEED(Number.POSITIVE_INFINITY));
          expect(await run.pump.run()).toBe(true);
          expect(run.times).toEqual(expectedOrder(plans));
          // No timer is before its time, and time never goes back.
          const reals = run.trace.map((entry) => Number(entry.split('/')[1]));
          expect(reals).toEqual([...reals].sort((one, other) => one - other));
        },
      ),
      { numRuns: 300 },
    );
  });
});
