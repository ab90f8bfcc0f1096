import { BurstClock } from '../../src/internal/burst-clock.js';

/** A clock that a test sets, and that counts its reads. */
function fakeSource() {
  const source = {
    time: 1000,
    reads: 0,
    real: true,
    tasks: [] as (() => void)[],
    now: () => {
      source.reads++;
      return source.time;
    },
    isReal: () => source.real,
    afterMacrotask: (task: () => void) => void source.tasks.push(task),
  };
  return source;
}

function call(clock: BurstClock, times: number): number[] {
  return Array.from({ length: times }, () => clock.now());
}

describe('BurstClock', () => {
  it('is exact while its calls are in different milliseconds', () => {
    const source = fakeSource();
    const clock = new BurstClock(source);
    for (; source.time < 1100; source.time++) expect(clock.now()).toBe(source.time);
  });

  it('reads the time for each of the first calls within a millisecond', () => {
    const source = fakeSource();
    call(new BurstClock(source), 9);
    expect(source.reads).toBe(9);
  });

  it('reads the time for every 32nd call of a long burst', () => {
    const source = fakeSource();
    const clock = new BurstClock(source);
    call(clock, 100);
    const before = source.reads;
    expect(new Set(call(clock, 3200))).toEqual(new Set([1000]));
    expect(source.reads - before).toBe(100);
  });

  it('is late by at most 31 calls when the time moves within a burst, then exact', () => {
    const source = fakeSource();
    const clock = new BurstClock(source);
    call(clock, 100);
    source.time = 2000;
    const times = call(clock, 40);
    const late = times.filter((time) => time === 1000).length;
    expect(late).toBeLessThanOrEqual(31);
    expect(times.slice(late)).toEqual(Array.from({ length: 40 - late }, () => 2000));
    source.time = 2001;
    expect(clock.now()).toBe(2001);
  });

  it('never goes back', () => {
    const source = fakeSource();
    const clock = new BurstClock(source);
    const times: number[] = [];
    for (let i = 0; i < 1000; i++) {
      if (i % 50 === 0) source.time++;
      times.push(clock.now());
    }
    expect(times).toEqual([...times].sort((one, other) => one - other));
  });

  it('reads the time in the first call of each macrotask', () => {
    const source = fakeSource();
    const clock = new BurstClock(source);
    call(clock, 100);
    expect(source.tasks).toHaveLength(1);
    source.tasks.shift()?.();
    source.time = 1500;
    expect(clock.now()).toBe(1500);
    call(clock, 100);
    expect(source.tasks).toHaveLength(1);
  });

  it('asks for the end of the macrotask only in a burst', () => {
    const source = fakeSource();
    call(new BurstClock(source), 8);
    expect(source.tasks).toHaveLength(0);
  });

  it('is exact as soon as the timers are fake', () => {
    const source = fakeSource();
    const clock = new BurstClock(source);
    call(clock, 100);
    source.real = false;
    source.time = 5000;
    expect(clock.now()).toBe(5000);
    source.time = 4000;
    expect(call(clock, 50)).toEqual(Array.from({ length: 50 }, () => 4000));
    source.real = true;
    source.time = 1001;
    expect(clock.now()).toBe(1001);
  });
});
