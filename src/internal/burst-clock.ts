import { asyncScheduler, type TimestampProvider } from 'rxjs';
import { isFakeTimer } from './fake-timers.js';
import { isVirtual, systemClock } from './virtual-time.js';

/** How many reads in a row must give the same time before one is saved. */
const STEADY = 8;

/** The most calls for one read. */
const MAX_STRIDE = 32;

/** What a burst clock depends on. */
export interface ClockSource {
  now(): number;
  /** Whether time passes by itself. It does not under fake timers. */
  isReal(): boolean;
  /** Runs a task once, when the running macrotask and its microtasks have ended. */
  afterMacrotask(task: () => void): void;
}

/**
 * A clock that is read less often during a burst, because a read of the system clock costs as much
 * as the rest of a publish.
 *
 * While reads give the same millisecond again and again, it reads only every second time, then every
 * fourth, up to every 32nd. It starts afresh when the time has moved, and in each macrotask. So it
 * is exact, unless the program calls it many times within a millisecond and then blocks the event
 * loop: then the next 31 calls at most may get the time before the block.
 */
export class BurstClock implements TimestampProvider {
  readonly #source: ClockSource;
  #time = 0;
  /** How many calls, including the next read, use the last read. */
  #left = 0;
  #stride = 1;
  /** How many reads in a row gave the same time. */
  #steady = 0;
  /** Whether the end of this macrotask will be noticed. */
  #watching = false;

  constructor(source: ClockSource) {
    this.#source = source;
  }

  now(): number {
    return --this.#left > 0 && this.#source.isReal() ? this.#time : this.#read();
  }

  #read(): number {
    const now = this.#source.now();
    if (now !== this.#time || !this.#source.isReal()) this.#restart();
    else if (++this.#steady >= STEADY) this.#stretch();
    this.#left = this.#stride;
    this.#time = now;
    return now;
  }

  #stretch(): void {
    this.#stride = Math.min(this.#stride * 2, MAX_STRIDE);
    if (this.#watching) return;
    this.#watching = true;
    this.#source.afterMacrotask(this.#macrotaskEnded);
  }

  #restart(): void {
    this.#steady = 0;
    this.#stride = 1;
  }

  readonly #macrotaskEnded = (): void => {
    this.#watching = false;
    this.#left = 0;
    this.#restart();
  };
}

// Captured at load time, to notice fake timers of a later test.
const { now } = Date;
const nextTick = (globalThis as { process?: { nextTick?: (task: () => void) => void } }).process?.nextTick;

const burstClock =
  nextTick === undefined || isFakeTimer(nextTick) || !/\[native code\]/.test(String(now))
    ? systemClock
    : new BurstClock({
        now: () => Date.now(),
        isReal: () => Date.now === now,
        afterMacrotask: (task) => nextTick(task),
      });

/** Returns the clock of a scheduler for the times at which messages are published. */
export function publishClockOf(scheduler: TimestampProvider): TimestampProvider {
  return scheduler === asyncScheduler && !isVirtual(scheduler) ? burstClock : scheduler;
}
