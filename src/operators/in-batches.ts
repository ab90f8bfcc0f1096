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
import { Sink, type SourceObserver } from '../internal/sink.js';
import type { AnyDelivery } from './handle-options.js';
import { giveBack } from './handling/failures.js';
import { warnOfPrefetch } from './prefetch.js';

export interface InBatchesOptions {
  /** How many deliveries make a batch at most, a whole number from 1 up. The `prefetch` of the stream should not be smaller. */
  readonly maxSize: number;
  /** How long the first delivery of a batch waits for others at most, in milliseconds, from 0 up. */
  readonly maxWait: number;
  /** Runs the timer. Default: RxJS's `asyncScheduler`. */
  readonly scheduler?: SchedulerLike | undefined;
  /** Where a warning goes. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * Deliveries that are settled as one. Each method settles those that nobody has settled by hand, and resolves to whether it counted for all of them;
 * where none is left it changes nothing, logs a warning and resolves to `false`.
 */
export interface DeliveryBatch<Item extends AnyDelivery = Delivery> {
  /** In the order in which they came; at least one. */
  readonly deliveries: readonly Item[];
  ack(): Promise<boolean>;
  nack(options?: NackOptions): Promise<boolean>;
  release(): Promise<boolean>;
  reject(reason?: unknown): Promise<boolean>;
}

/**
 * Collects deliveries into batches: one is handed on when it is full, or when its first delivery has waited long enough. You settle it.
 *
 * What is unfinished is handed on when the source completes, and released when the subscriber leaves or the source fails.
 *
 * *Gotchas*: deliveries count as held while they wait in a batch: with a `prefetch` below `maxSize` no batch is ever full, and each waits for its time.
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
 * @throws {TypeError | RangeError} for an option without sense, when the operator is made
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
  const warn = warnOfPrefetch('maxSize', checked.maxSize, 'each batch waits for its time', checked.logger);
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
      this.#giveBack();
      this.#source.unsubscribe();
    });
    source.subscribe(this.#source);
  }

  take(delivery: Item): void {
    // It may come after the subscriber has left, from a source that emits while it is subscribed to.
    if (this.#subscriber.closed) giveBack(delivery, this.#options.logger);
    else if (this.#deliveries.push(delivery) >= this.#options.maxSize) this.#handOn();
    else if (this.#timer === undefined) this.#startTimer();
  }

  exhaust(failure?: { readonly error: unknown }): void {
    if (failure !== undefined) {
      this.#giveBack();
      this.#subscriber.error(failure.error);
      return;
    }
    if (this.#deliveries.length > 0) this.#handOn();
    this.#subscriber.complete();
  }

  #startTimer(): void {
    const { scheduler, maxWait } = this.#options;
    this.#timer = new Subscription();
    // Some schedulers run what has no delay within the call.
    this.#timer.add(after(scheduler, maxWait, () => this.#handOn()));
  }

  #handOn(): void {
    this.#subscriber.next(new Batch(this.#takeOut()));
  }

  #giveBack(): void {
    for (const delivery of this.#takeOut()) giveBack(delivery, this.#options.logger);
  }

  #takeOut(): Item[] {
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
    const open = this.deliveries.filter(({ settled }) => !settled);
    // The first one of a batch that is settled already says what is wrong, once.
    const answers = await Promise.all(
      (open.length > 0 ? open : this.deliveries.slice(0, 1)).map(async (delivery) => settle(delivery)),
    );
    return answers.every((counted) => counted !== false);
  }
}
