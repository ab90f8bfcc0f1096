import fakeTimers from '@sinonjs/fake-timers';

/** When each program starts, so that it prints the same at each run. */
const EPOCH = Date.UTC(2026, 0, 1);

/** The part of the installed clock that has no type: its timers, the earliest first. */
interface Timers {
  readonly timerHeap?: { peek(): { readonly callAt: number } | undefined };
}

/** The time of a program: it passes only when it is told to. */
export class VirtualClock {
  readonly #clock: ReturnType<typeof fakeTimers.install>;

  /** Replaces the timers and the dates of this global scope. */
  constructor(scope: typeof globalThis = globalThis) {
    this.#clock = fakeTimers.withGlobal(scope).install({
      now: EPOCH,
      toFake: [
        'setTimeout',
        'clearTimeout',
        'setInterval',
        'clearInterval',
        'setImmediate',
        'clearImmediate',
        'requestAnimationFrame',
        'cancelAnimationFrame',
        'requestIdleCallback',
        'cancelIdleCallback',
        'Date',
        'performance',
      ],
      ignoreMissingTimers: true,
    });
    this.#atLeastOne(scope, 'setTimeout');
    this.#atLeastOne(scope, 'setInterval');
    // Its timer is real otherwise.
    if (scope.AbortSignal !== undefined) scope.AbortSignal.timeout = (delay) => abortAfter(scope, delay);
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#clock.now - EPOCH;
  }

  /** When the next timer is due, by `now`. Undefined: there is none. */
  get nextAt(): number | undefined {
    const at = (this.#clock as unknown as Timers).timerHeap?.peek()?.callAt;
    return at === undefined ? undefined : at - EPOCH;
  }

  /** Runs the next timer. Throws what it throws. */
  runNext(): void {
    this.#clock.next();
  }

  /** Lets time pass up to a moment, but not beyond the next timer. */
  advanceTo(time: number): void {
    const target = Math.floor(Math.min(time, this.nextAt === undefined ? time : this.nextAt - 1));
    if (target > this.now) this.#clock.tick(target - this.now);
  }

  /**
   * Gives timers of 0 ms a millisecond, as Node does. Otherwise the time would stand still in a
   * loop of them.
   */
  #atLeastOne(scope: typeof globalThis, name: 'setTimeout' | 'setInterval'): void {
    const fake = scope[name] as (task: () => void, delay?: number, ...values: unknown[]) => number;
    const replacement = (task: () => void, delay?: number, ...values: unknown[]): number =>
      fake(task, Math.max(1, Number(delay) || 0), ...values);
    // What shows that timers are fake.
    Object.assign(scope, { [name]: Object.assign(replacement, fake) });
  }
}

function abortAfter(scope: typeof globalThis, delay: number): AbortSignal {
  const controller = new AbortController();
  scope.setTimeout(
    () => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')),
    delay,
  );
  return controller.signal;
}
