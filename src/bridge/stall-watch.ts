import type { ConsumerGroup } from '../backend.js';
import type { Logger } from '../internal/logger.js';

/** How often the watch looks, in milliseconds. */
const PERIOD = 5000;

/** How long a subscriber may hold all of its credit, in milliseconds. */
const LONGEST_STALL = 60_000;

/** How often a stall is seen again before it is logged. Looks are counted, not time: while the event loop is blocked, no subscriber can settle. */
const MOST_LOOKS = LONGEST_STALL / PERIOD;

/** What is looked at now and then. */
export interface Check {
  look(): void;
}

/**
 * Looks at all subscribers now and then, with one timer for all of them.
 *
 * It holds them weakly: a queue that the program has dropped together with its subscribers is garbage.
 */
export class StallWatch {
  readonly #every: (task: () => void) => () => void;
  readonly #checks = new Set<WeakRef<Check>>();
  #stop: (() => void) | undefined;

  /** @param every runs a task periodically, until the function that it returns is called */
  constructor(every: (task: () => void) => () => void) {
    this.#every = every;
  }

  /** How many are looked at. */
  get size(): number {
    return this.#checks.size;
  }

  /** Looks at a check from now on, for as long as something else keeps it alive. Returns what `remove` takes. */
  add(check: Check): WeakRef<Check> {
    const reference = new WeakRef(check);
    this.#checks.add(reference);
    this.#stop ??= this.#every(() => this.look());
    return reference;
  }

  remove(reference: WeakRef<Check>): void {
    this.#checks.delete(reference);
    if (this.#checks.size > 0) return;
    this.#stop?.();
    this.#stop = undefined;
  }

  look(): void {
    for (const reference of this.#checks) {
      const check = reference.deref();
      if (check === undefined) this.remove(reference);
      else check.look();
    }
  }
}

// Taken here, so that no fake timers of a test see the interval. A runtime may have no timers.
const { setInterval, clearInterval } = globalThis as Partial<typeof globalThis>;

/** Whether a test had replaced the timers before this module was loaded. To run all timers would then never end. */
const isFake = setInterval !== undefined && ('clock' in setInterval || '_isMockFunction' in setInterval);

/** Runs a task in every period of real time. Does not keep the process alive. */
function everyPeriod(task: () => void): () => void {
  if (setInterval === undefined || isFake) return () => {};
  const timer = setInterval(task, PERIOD);
  // In a browser, it is a number.
  (timer as unknown as { unref?(): void }).unref?.();
  return () => clearInterval?.(timer);
}

export const stallWatch = new StallWatch(everyPeriod);

/** A subscription that leaves all settling to its subscriber. */
export interface WatchedSubscription {
  readonly queue: string;
  readonly group: ConsumerGroup;
  readonly prefetch: number;
  readonly logger: Logger;
  /** The newest of its deliveries in flight, while its credit is used up; otherwise undefined. */
  readonly newestOfAll: () => object | undefined;
}

/** Logs a warning once, when a subscriber has held all of its credit for a minute and settled nothing. A subscription makes one, and stops it. */
export class CreditCheck implements Check {
  readonly #subscription: WatchedSubscription;
  readonly #reference = stallWatch.add(this);
  /** While nothing is settled, the same delivery is the newest: a settlement frees the credit for another one. */
  #newest: object | undefined;
  #looks = 0;

  constructor(subscription: WatchedSubscription) {
    this.#subscription = subscription;
  }

  look(): void {
    const newest = this.#subscription.newestOfAll();
    if (newest === undefined || newest !== this.#newest) {
      this.#newest = newest;
      this.#looks = 0;
    } else if (++this.#looks >= MOST_LOOKS) {
      this.stop();
      this.#warn();
    }
  }

  stop(): void {
    stallWatch.remove(this.#reference);
  }

  #warn(): void {
    const { queue, group, prefetch, logger } = this.#subscription;
    logger.warn(
      `A subscriber of queue ${JSON.stringify(queue)}, group ${JSON.stringify(group)}, has used up its \`prefetch\` of ${prefetch} and settled nothing for ` +
        `${LONGEST_STALL / 1000} s: it gets no more. If an operator drops deliveries (filter, debounceTime, switchMap), settle them, for instance with ` +
        'filterDeliveries. If it collects them, make the `prefetch` at least as large as its window',
      { queue, group, prefetch },
    );
  }
}
