import type { SchedulerLike, Subscription } from 'rxjs';
import type { Credit } from '../bridge/credit.js';
import { after } from '../internal/after.js';
import type { Pace } from '../operators/handling/pace.js';

/** The most that is held, unless there are more handlers. */
const MOST = 256;

/** The span in which starts are counted, in milliseconds. */
const SPAN = 1000;

/**
 * Lets a consumer hold as many messages as its handlers started within the last second, at least `concurrency` + 1, at most 256: it has the next message when a handler
 * ends, and holds none for long that another consumer could handle.
 */
export class AdaptivePrefetch implements Pace {
  readonly #credit: Credit;
  readonly #scheduler: SchedulerLike;
  readonly #least: number;
  /** When the last handlers were started: a ring. */
  readonly #starts = new Float64Array(MOST);
  /** Where the next start goes, and how many before it are within the span. */
  #next = 0;
  #count = 0;
  /** Runs while the credit is more than the least: when nothing starts any more, it shrinks. */
  #timer: Subscription | undefined;

  constructor(credit: Credit, concurrency: number, scheduler: SchedulerLike) {
    this.#credit = credit;
    this.#scheduler = scheduler;
    this.#least = concurrency + 1;
    credit.allow(this.#least);
  }

  started(now: number): void {
    this.#starts[this.#next] = now;
    this.#next = (this.#next + 1) % MOST;
    if (this.#count < MOST) this.#count++;
    this.#adapt(now);
  }

  stop(): void {
    this.#timer?.unsubscribe();
    this.#timer = undefined;
  }

  #adapt(now: number): void {
    while (this.#count > 0 && !this.#isRecent(this.#oldest, now)) this.#count--;
    if (this.#count > this.#least && this.#timer === undefined) this.#lookLater();
    this.#credit.allow(Math.max(this.#least, this.#count));
  }

  /** Whether a start counts. One in the future does not: the clock was set back since. */
  #isRecent(start: number, now: number): boolean {
    return start <= now && now - start < SPAN;
  }

  get #oldest(): number {
    return this.#starts[(this.#next - this.#count + MOST) % MOST] as number;
  }

  #lookLater(): void {
    this.#timer = after(this.#scheduler, SPAN, () => {
      this.#timer = undefined;
      this.#adapt(this.#scheduler.now());
    });
  }
}
