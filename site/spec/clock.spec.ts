import { VirtualClock } from '../playground/clock';
import { createScope } from './virtual-time';

const { setTimeout: realTimeout, Date: RealDate } = globalThis;

let scope: typeof globalThis;
let clock: VirtualClock;
let trace: string[];
beforeEach(() => {
  scope = createScope();
  clock = new VirtualClock(scope);
  trace = [];
});

const timer = (name: string, delay?: number) => scope.setTimeout(() => trace.push(`${name}@${clock.now}`), delay);

describe('the virtual clock', () => {
  it('stands still by itself, at the same date for every program', () => {
    expect(clock.now).toBe(0);
    expect(clock.nextAt).toBeUndefined();
    expect(new scope.Date().toISOString()).toBe('2026-01-01T00:00:00.000Z');
    expect(scope.performance.now()).toBe(0);
    // The timers of the page are not touched.
    expect([globalThis.setTimeout, globalThis.Date]).toEqual([realTimeout, RealDate]);
    expect(scope.setTimeout).not.toBe(realTimeout);
  });

  it('moves dates with it', () => {
    clock.advanceTo(1500.9);
    expect(clock.now).toBe(1500);
    expect(scope.Date.now()).toBe(Date.UTC(2026, 0, 1) + 1500);
    expect(scope.performance.now()).toBe(1500);
    clock.advanceTo(1000);
    expect(clock.now).toBe(1500);
  });

  it('knows when the next timer is due, and runs no other one', () => {
    timer('b', 200);
    timer('a', 100);
    timer('c', 200);
    expect(clock.nextAt).toBe(100);
    clock.runNext();
    expect([...trace, clock.nextAt]).toEqual(['a@100', 200]);
    clock.runNext();
    clock.runNext();
    expect(trace).toEqual(['a@100', 'b@200', 'c@200']);
    expect(clock.nextAt).toBeUndefined();
    clock.runNext();
    expect(clock.now).toBe(200);
  });

  it('does not pass the next timer by itself', () => {
    timer('a', 100);
    clock.advanceTo(5000);
    expect(clock.now).toBe(99);
    expect(trace).toEqual([]);
    expect(clock.nextAt).toBe(100);
  });

  it('forgets timers that are cleared', () => {
    const first = timer('a', 100);
    timer('b', 300);
    scope.clearTimeout(first);
    expect(clock.nextAt).toBe(300);
  });

  it('repeats intervals', () => {
    const interval = scope.setInterval(() => trace.push(`${clock.now}`), 50);
    for (let count = 0; count < 3; count++) clock.runNext();
    scope.clearInterval(interval);
    expect(trace).toEqual(['50', '100', '150']);
    expect(clock.nextAt).toBeUndefined();
  });

  it.each([undefined, 0, -5, Number.NaN, 0.5])('gives a timer of %p ms a millisecond', (delay) => {
    timer('a', delay);
    expect(clock.nextAt).toBe(1);
    const interval = scope.setInterval(() => {}, delay);
    clock.runNext();
    clock.runNext();
    expect(clock.nextAt).toBe(2);
    scope.clearInterval(interval);
  });

  it('runs immediates first', () => {
    timer('a');
    scope.setImmediate(() => trace.push(`immediate@${clock.now}`));
    clock.runNext();
    clock.runNext();
    expect(trace).toEqual(['immediate@0', 'a@1']);
  });

  it('passes arguments to timers', () => {
    scope.setTimeout((one: number, two: string) => trace.push(`${one}${two}`), 1, 1, 'x');
    clock.runNext();
    expect(trace).toEqual(['1x']);
  });

  it('throws what a timer throws, and goes on', () => {
    scope.setTimeout(() => {
      throw new Error('bad');
    }, 10);
    timer('b', 20);
    expect(() => clock.runNext()).toThrow('bad');
    clock.runNext();
    expect(trace).toEqual(['b@20']);
  });

  it('ends signals', () => {
    const signal = scope.AbortSignal.timeout(500);
    clock.advanceTo(499);
    expect(signal.aborted).toBe(false);
    clock.runNext();
    expect(clock.now).toBe(500);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' });
  });
});
