import { type SchedulerLike, Subscription } from 'rxjs';

/** The longest timer, in milliseconds: Node and browsers fire longer ones immediately. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Runs a task once after a finite delay in milliseconds, which may exceed `LONGEST_TIMER`.
 * Unsubscribing cancels it.
 */
export function after(scheduler: SchedulerLike, delay: number, task: () => void): Subscription {
  if (delay <= LONGEST_TIMER) return scheduler.schedule(task, delay);
  const timer = new Subscription();
  timer.add(scheduler.schedule(() => timer.add(after(scheduler, delay - LONGEST_TIMER, task)), LONGEST_TIMER));
  return timer;
}
