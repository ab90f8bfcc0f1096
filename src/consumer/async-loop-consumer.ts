import { defer, Observable, Subject, tap } from 'rxjs';
import type { AnyEvents, ConsumerGroup, Delivery, EventMap, QueueBackend } from '../backend.js';
import { type CheckedConsumeOptions, checkConsumeOptions } from '../bridge/consume-options.js';
import type { Credit } from '../bridge/credit.js';
import { after } from '../internal/after.js';
import { inContext } from '../internal/async-context.js';
import { describe, describeError } from '../internal/describe.js';
import { checkFunction, checkMethods, checkMilliseconds, checkOptions } from '../internal/options.js';
import type { Outcome } from '../internal/outcome.js';
import { handleChecked } from '../operators/handle.js';
import {
  type CheckedHandleOptions,
  checkHandleOptions,
  type HandleOptions,
  type Handler,
} from '../operators/handle-options.js';
import { AdaptivePrefetch } from './adaptive-prefetch.js';
import type { EventConsumer, EventHandler, ShutdownOptions } from './event-consumer.js';
import { payloadDeliveries } from './payload-deliveries.js';
import { Run } from './run.js';

/** The prefetch of `'auto'` on a backend whose credit cannot change. */
const FIXED_PREFETCH = 32;
const DEFAULT_SHUTDOWN_TIMEOUT = 30_000;

/**
 * The queue of a consumer. Any backend; also a fake without `deliveries`, but then without retries.
 */
export type ConsumerQueue<Events extends EventMap<Events> = AnyEvents> = Pick<
  QueueBackend<Events>,
  'publish' | 'consume'
> &
  Partial<Pick<QueueBackend<Events>, 'deliveries' | 'name'>>;

/**
 * What a consumer uses of its queue. The type of `publish` does not matter: a queue may publish
 * other types than it delivers.
 */
type Consumable<Events extends EventMap<Events>> = Omit<ConsumerQueue<Events>, 'publish'> & {
  readonly publish?: unknown;
};

export interface AsyncLoopConsumerOptions<Events extends EventMap<Events> = AnyEvents>
  extends HandleOptions<Delivery<Events>> {
  /** The group to consume for. Default: `default`. */
  readonly group?: ConsumerGroup | undefined;
  /**
   * How many deliveries may be in flight: an integer >= 1. `'auto'`: the number of handlers that
   * started within the last second, at least `concurrency` + 1, at most 256. On a backend that
   * cannot change it while the consumer runs, `'auto'` is 32, or `concurrency` if that is more.
   * Default: `'auto'`.
   */
  readonly prefetch?: number | 'auto' | undefined;
}

/** The options for a queue that cannot requeue. */
const NO_RETRIES = { retryCount: 0, deliveryLimit: Number.POSITIVE_INFINITY };

/**
 * Runs a handler for each message of a queue, until it is shut down: `handle()` as a long-running
 * service, on any backend.
 *
 * A message is done when its handler ends. If the handler fails, the message is retried as `retry`
 * says, then dead-lettered. An error of a handler is logged and never stops the loop.
 *
 * *Gotchas*: delivery is at least once. A handler may get a message again that it has finished.
 * With `orderBy`, set `prefetch` to a number: deliveries that wait behind others of their key keep
 * their credit. On a queue without `deliveries()`, such as a fake with only `publish` and
 * `consume`, each message is handled once, without retries, and the consumer logs a warning.
 *
 * @example
 * ```ts
 * const consumer = new AsyncLoopConsumer(queue, { group: 'billing', concurrency: 8, deadLetter: failed });
 * process.once('SIGTERM', () => void consumer.shutdown({ timeout: 10_000 }));
 * await consumer.run(async (order, delivery, { signal }) => charge(order, { signal }));
 * ```
 */
export class AsyncLoopConsumer<Events extends EventMap<Events> = AnyEvents> implements EventConsumer<Events> {
  readonly #queue: ConsumerQueue;
  readonly #consume: CheckedConsumeOptions;
  readonly #handle: CheckedHandleOptions;
  readonly #adapts: boolean;
  readonly #outcomes = new Subject<Outcome>();
  #run: Run | undefined;

  /**
   * @throws {TypeError | RangeError} if the queue or an option is invalid. The message names the
   * option.
   */
  constructor(queue: Consumable<Events>, options?: AsyncLoopConsumerOptions<Events>) {
    const { group, prefetch: wished = 'auto', ...handleOptions } = checkOptions(options);
    const checked = checkHandleOptions(handleOptions as HandleOptions);
    if (typeof wished === 'string' && wished !== 'auto')
      throw new TypeError(`Expected \`prefetch\` to be 'auto' or a positive integer, got ${describe(wished)}`);
    const prefetch = wished === 'auto' ? Math.max(FIXED_PREFETCH, checked.concurrency) : wished;
    this.#adapts = wished === 'auto';
    this.#queue = checkMethods('queue', queue, ['consume']) as ConsumerQueue;
    this.#consume = checkConsumeOptions({ group, prefetch });
    this.#handle = {
      ...checked,
      group: this.#consume.group,
      onOutcome: (outcome) => this.#report(outcome, checked.onOutcome),
    };
  }

  /**
   * The outcome of each delivery, for metrics. Hot. Never completes, because the consumer may run
   * again.
   */
  get outcomes$(): Observable<Outcome<Delivery<Events>>> {
    return new Observable((subscriber) =>
      this.#outcomes.subscribe(inContext(subscriber)),
    ) as Observable<unknown> as Observable<Outcome<Delivery<Events>>>;
  }

  /**
   * Handles messages. Resolves when the consumer has shut down, its `signal` has aborted or the
   * queue has ended. While it runs, another call returns the same promise. The handler and the
   * functions of the options run in the `AsyncLocalStorage` context of this call.
   * @throws {TypeError} (a rejection) if the handler is not a function
   * @throws the fatal error of the backend (a rejection)
   */
  run(handler: EventHandler<Events>): Promise<void> {
    if (this.#run?.over === false) return this.#run.ended;
    try {
      checkFunction('handler', handler);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#start(handler as unknown as EventHandler);
  }

  /**
   * Starts no more handlers, releases the deliveries that wait, and resolves when the running
   * handlers have finished. After `timeout`, the signals of those that still run abort, and their
   * messages are released, with their attempts uncounted where the broker allows. Idempotent. The
   * consumer can run again. A handler may call `shutdown`, but must not await it: it would wait for
   * itself.
   *
   * It does not wait until the broker has confirmed the releases. Await `close()` of the queue
   * before the process exits.
   * @throws {TypeError | RangeError} (a rejection) if the timeout is invalid
   */
  async shutdown(options?: ShutdownOptions): Promise<void> {
    const { timeout = DEFAULT_SHUTDOWN_TIMEOUT } = checkOptions(options);
    if (timeout !== Number.POSITIVE_INFINITY) checkMilliseconds('timeout', timeout);
    const run = this.#run;
    if (run === undefined) return;
    run.stop();
    const deadline =
      timeout === Number.POSITIVE_INFINITY ? undefined : after(this.#handle.scheduler, timeout, () => run.abandon());
    // `run` reports a failure.
    await run.ended.catch(() => undefined);
    deadline?.unsubscribe();
  }

  #start(handler: EventHandler): Promise<void> {
    const run = new Run();
    this.#run = run;
    const handled: Handler = (delivery, context) => handler(delivery.payload, delivery, context);
    const options = { ...this.#handle, ...(this.#queue.deliveries === undefined && NO_RETRIES), signal: run.signal };
    const { concurrency, scheduler } = options;
    const controlPrefetch = this.#adapts
      ? (credit: Credit) => new AdaptivePrefetch(credit, concurrency, scheduler)
      : undefined;
    const work = defer(() => this.#deliveries(run.signal).pipe(handleChecked(handled, options, controlPrefetch)));
    run.start(work.pipe(tap({ error: (error) => this.#failed(error) })), this.#handle.signal);
    return run.ended;
  }

  #deliveries(signal: AbortSignal): Observable<Delivery> {
    const { logger, concurrency } = this.#handle;
    if (this.#queue.deliveries !== undefined) return this.#queue.deliveries(this.#consume);
    const { name: queue = 'unnamed' } = this.#queue;
    logger.warn(
      `Queue ${JSON.stringify(queue)} has no deliveries(), only consume(): each message is handled once, without retries`,
      { queue },
    );
    return payloadDeliveries(this.#queue, { group: this.#consume.group, limit: concurrency, signal, logger });
  }

  #failed(error: unknown): void {
    const { name: queue = 'unnamed' } = this.#queue;
    this.#handle.logger.error(`The consumer of queue ${JSON.stringify(queue)} failed: ${describeError(error)}`, {
      queue,
      group: this.#consume.group,
      error,
    });
  }

  #report(outcome: Outcome, onOutcome: CheckedHandleOptions['onOutcome']): void {
    this.#outcomes.next(outcome);
    onOutcome?.(outcome);
  }
}
