import { asyncScheduler, type TimestampProvider } from 'rxjs';

/** A larger difference from the system clock means virtual time, in milliseconds. */
const VIRTUAL_DIFFERENCE = 86_400_000;

/**
 * Whether a clock is virtual now, as the schedulers of RxJS are under a `TestScheduler`. A test
 * then runs everything in one call: there is no event loop to yield to, and a promise that waits
 * for a macrotask would resolve too late.
 */
export function isVirtual(clock: TimestampProvider): boolean {
  return Math.abs(clock.now() - Date.now()) > VIRTUAL_DIFFERENCE;
}

/** Reads `Date` at each call: a test may replace it. */
export const systemClock: TimestampProvider = { now: () => Date.now() };

/**
 * Returns a fast clock of a scheduler, to read for every message. In real time, `asyncScheduler`
 * reads the system clock by a detour that takes half as long again.
 */
export function clockOf(scheduler: TimestampProvider): TimestampProvider {
  return scheduler === asyncScheduler && !isVirtual(scheduler) ? systemClock : scheduler;
}
