import {
  asyncScheduler,
  Observable,
  type OperatorFunction,
  type SchedulerLike,
  type Subscriber,
  Subscription,
} from 'rxjs';
import type { Delivery, NackOptions } from '../backend.js';
import { after } from '../internal/after.js';
import { inContext } from '../internal/async-context.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkObservable } from '../internal/observables.js';
import { checkCount, checkMethods, checkMilliseconds, checkOptions } from '../internal/options.js';
import type { AnyDelivery } from '../internal/outcome.js';
import { Sink, type SourceObserver } from '../internal/sink.js';
import { releaseUnsettled } from './handling/settle.js';
import { warnOfPrefetch } from './prefetch.js';

export interface InBatchesOptions {
  /**
   * How many deliveries a batch may have: an integer >= 1. The `prefetch` of the stream should not
   * be smaller.
   */
  readonly maxSize: number;
  /** How long the first delivery of a batch may wait for others, in milliseconds >= 0. */
  readonly maxWait: number;
  /** Runs the timer. Default: RxJS's `asyncScheduler`. */
  readonly scheduler?: SchedulerLike | undefined;
  /** Logs warnings. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * Deliveries that are settled together. Each method settles those that are not settled yet, and
 * resolves to whether it counted for all of them. If all are settled, it has no effect, logs a
 * warning and resolves to `false`.
 */
export interface DeliveryBatch<Item extends AnyDelivery = Delivery> {
  /** At least one, in the order of their arrival. */
  readonly deliveries: readonly Item[];
  ack(): Promise<boolean>;
  nack(options?: NackOptions): Promise<boolean>;
  release(): Promise<boolean>;
  reject(reason?: unknown): Promise<boolean>;
}

/**
 * Collects deliveries into batches. It emits a batch when it is full, or when its first delivery
 * has waited for `maxWait`. You settle the batch.
 *
 * The last batch is emitted when the source completes. It is released when the subscriber
 * unsubscribes or the source fails.
 *
 * *Gotchas*: deliveries keep their credit while they wait in a batch. With a `prefetch` below
 * `maxSize` no batch is ever full, and each one waits for `maxWait`.
 *
 * @example
 * ```ts
 * queue
 *   .deliveries({ prefetch: 200 })
 *   .pipe(
 *     inBatches({ maxSize: 100, maxWait: 50 }),
 *     concatMap(async (batch) => {
 *       await insertAll(batch.deliveries.map(({ payload }) => payload));
 *       await batch.ack();
 *     }),
 *   )
 *   .subscribe();
 * ```
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 */
export function inBatches<Item extends AnyDelivery>(
  options: InBatchesOptions,
): OperatorFunction<Item, DeliveryBatch<Item>> {
  const { maxSize, maxWait, scheduler = asyncScheduler, logger = defaultLogger } = checkOptions(options);
  const checked = {
    maxSize: checkCount('maxSize', maxSize),
    maxWait: checkMilliseconds('maxWait', maxWait),
    scheduler: checkMethods('scheduler', scheduler, ['now', 'schedule']),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
  const warn = warnOfPrefetch('maxSize', checked.maxSize, 'each batch waits for `maxWait`', checked.logger);
  return (source) => {
    const deliveries = checkObservable<Item>('source', source);
    warn(source);
    return new Observable((subscriber) => new Batching(inContext(subscriber), checked).connect(deliveries));
  };
}

interface BatchingOptions {
  readonly maxSize: number;
  readonly maxWait: number;
  readonly scheduler: SchedulerLike;
  readonly logger: Logger;
}

/** One subscription to `inBatches`. */
class Batching<Item extends AnyDelivery> implements SourceObserver<Item> {
  readonly #subscriber: Subscriber<DeliveryBatch<Item>>;
  readonly #options: BatchingOptions;
  readonly #source = new Sink<Item>(this, true);
  #deliveries: Item[] = [];
  #timer: Subscription | undefined;

  constructor(subscriber: Subscriber<DeliveryBatch<Item>>, options: BatchingOptions) {
    this.#subscriber = subscriber;
    this.#options = options;
  }

  connect(source: Observable<Item>): void {
    this.#subscriber.add(() => {
      this.#releaseAll();
      this.#source.unsubscribe();
    });
    source.subscribe(this.#source);
  }

  take(delivery: Item): void {
    // A source that emits within `subscribe` may emit after the unsubscribe.
    if (this.#subscriber.closed) releaseUnsettled(delivery, this.#options.logger);
    else if (this.#deliveries.push(delivery) >= this.#options.maxSize) this.#emit();
    else if (this.#timer === undefined) this.#startTimer();
  }

  exhaust(failure?: { readonly error: unknown }): void {
    if (failure !== undefined) {
      this.#releaseAll();
      this.#subscriber.error(failure.error);
      return;
    }
    if (this.#deliveries.length > 0) this.#emit();
    this.#subscriber.complete();
  }

  #startTimer(): void {
    const { scheduler, maxWait } = this.#options;
    this.#timer = new Subscription();
    // Some schedulers run a task without delay within the call.
    this.#timer.add(after(scheduler, maxWait, () => this.#emit()));
  }

  #emit(): void {
    this.#subscriber.next(new Batch(this.#takeAll()));
  }

  #releaseAll(): void {
    for (const delivery of this.#takeAll()) releaseUnsettled(delivery, this.#options.logger);
  }

  #takeAll(): Item[] {
    this.#timer?.unsubscribe();
    this.#timer = undefined;
    const deliveries = this.#deliveries;
    this.#deliveries = [];
    return deliveries;
  }
}

class Batch<Item extends AnyDelivery> implements DeliveryBatch<Item> {
  readonly deliveries: readonly Item[];

  constructor(deliveries: readonly Item[]) {
    this.deliveries = deliveries;
  }

  ack(): Promise<boolean> {
    return this.#settle((delivery) => delivery.ack());
  }

  nack(options?: NackOptions): Promise<boolean> {
    return this.#settle((delivery) => delivery.nack(options));
  }

  release(): Promise<boolean> {
    return this.#settle((delivery) => delivery.release());
  }

  reject(reason?: unknown): Promise<boolean> {
    return this.#settle((delivery) => delivery.reject(reason));
  }

  async #settle(settle: (delivery: Item) => Promise<boolean>): Promise<boolean> {
    const unsettled = this.deliveries.filter(({ settled }) => !settled);
    // If all are settled, the first one logs the warning.
    const answers = await Promise.all(
      (unsettled.length > 0 ? unsettled : this.deliveries.slice(0, 1)).map(async (delivery) => settle(delivery)),
    );
    return answers.every((counted) => counted !== false);
  }
}
