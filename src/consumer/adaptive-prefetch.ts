import type { SchedulerLike, Subscription } from 'rxjs';
import type { Credit } from '../bridge/credit.js';
import { after } from '../internal/after.js';
import type { PrefetchController } from '../operators/handle-options.js';

/** The highest credit, unless `concurrency` is higher. */
const MOST = 256;

/** How long a start counts, in milliseconds. */
const SPAN = 1000;

/**
 * Sets the credit to the number of handlers that started within the last second, at least
 * `concurrency` + 1, at most 256.
 *
 * So the next message has arrived when a handler ends, and no message waits long that another
 * consumer could handle.
 */
export class AdaptivePrefetch implements PrefetchController {
  readonly #credit: Credit;
  readonly #scheduler: SchedulerLike;
  readonly #least: number;
  /** The times of the last starts, as a ring buffer. */
  readonly #starts = new Float64Array(MOST);
  /** The index of the next start, and how many before it count. */
  #next = 0;
  #count = 0;
  /** Runs while the credit is above the minimum, so that it shrinks when no more handlers start. */
  #timer: Subscription | undefined;

  constructor(credit: Credit, concurrency: number, scheduler: SchedulerLike) {
    this.#credit = credit;
    this.#scheduler = scheduler;
    this.#least = concurrency + 1;
    credit.allow(this.#least);
  }

  handlerStarted(now: number): void {
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

  /** Whether a start counts. A start in the future does not: the clock was set back. */
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
