import type { ConsumerGroup } from '../backend.js';
import { isFakeTimer } from '../internal/fake-timers.js';
import type { Logger } from '../internal/logger.js';

/** The interval of the checks, in milliseconds. */
const PERIOD = 5000;

/** How long a subscriber may use up its credit without a settlement, in milliseconds. */
const LONGEST_STALL = 60_000;

/**
 * How many checks must see a stall before it is logged. Checks are counted instead of time: while
 * the event loop is blocked, no subscriber can settle.
 */
const MOST_LOOKS = LONGEST_STALL / PERIOD;

export interface Check {
  look(): void;
}

/**
 * Checks all subscribers periodically, with one timer.
 *
 * It holds them weakly: a dropped queue and its subscribers can be collected.
 */
export class StallWatch {
  readonly #every: (task: () => void) => () => void;
  readonly #checks = new Set<WeakRef<Check>>();
  #stop: (() => void) | undefined;

  /** @param every runs a task periodically. Returns a function that stops it. */
  constructor(every: (task: () => void) => () => void) {
    this.#every = every;
  }

  get size(): number {
    return this.#checks.size;
  }

  /** Adds a check, and holds it weakly. Returns the reference that `remove` takes. */
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

// Captured at load time: fake timers of a test must not see the interval. A runtime may have no
// timers.
const { setInterval, clearInterval } = globalThis as Partial<typeof globalThis>;

/**
 * Whether the timers were fake when this module was loaded. Running all fake timers would then
 * never end.
 */
const isFake = setInterval !== undefined && isFakeTimer(setInterval);

/** Runs a task periodically in real time. Does not keep the process alive. */
function everyPeriod(task: () => void): () => void {
  if (setInterval === undefined || isFake) return () => {};
  const timer = setInterval(task, PERIOD);
  // In a browser, the timer is a number.
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

/** Warns once, when a subscriber has used up its credit for a minute and settled nothing. */
export class CreditCheck implements Check {
  readonly #subscription: WatchedSubscription;
  readonly #reference = stallWatch.add(this);
  /**
   * Without a settlement the newest delivery stays the same: a settlement frees credit for another
   * one.
   */
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
