import { type SchedulerLike, Subscription } from 'rxjs';

/** The longest that a timer can be set for, in milliseconds: beyond it, Node and browsers fire at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** Runs a task once, after a finite delay of any length in milliseconds, unless the subscription is given up before. */
export function after(scheduler: SchedulerLike, delay: number, task: () => void): Subscription {
  if (delay <= LONGEST_TIMER) return scheduler.schedule(task, delay);
  const timer = new Subscription();
  timer.add(scheduler.schedule(() => timer.add(after(scheduler, delay - LONGEST_TIMER, task)), LONGEST_TIMER));
  return timer;
}
