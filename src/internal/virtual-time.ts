import { asyncScheduler, type TimestampProvider } from 'rxjs';

/** A difference to the clock on the wall, in milliseconds, that no clock on a wall has. */
const ANOTHER_TIME = 86_400_000;

/**
 * Whether a clock keeps a time of its own at this moment, as RxJS's schedulers do under a `TestScheduler`. What happens then happens in one call of a
 * test: there is no event loop to be fair to, and what waited for a turn of it would come too late.
 */
export function isVirtual(clock: TimestampProvider): boolean {
  return Math.abs(clock.now() - Date.now()) > ANOTHER_TIME;
}

/** Looks `Date` up at each call: a test may replace it. */
const wallClock: TimestampProvider = { now: () => Date.now() };

/**
 * The clock of a scheduler, for where it is read for every message: `asyncScheduler` in real time reads the clock on the wall, after a detour that costs
 * half as much again.
 */
export function clockOf(scheduler: TimestampProvider): TimestampProvider {
  return scheduler === asyncScheduler && !isVirtual(scheduler) ? wallClock : scheduler;
}
