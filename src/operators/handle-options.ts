import { asyncScheduler, type SchedulerLike } from 'rxjs';
import type { ConsumerGroup, Delivery, QueueBackend } from '../backend.js';
import { AsyncContext } from '../internal/async-context.js';
import { describe } from '../internal/describe.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import {
  checkCount,
  checkFunction,
  checkMethods,
  checkMilliseconds,
  checkOptions,
  checkSignal,
} from '../internal/options.js';
import type { AnyDelivery, Outcome } from '../internal/outcome.js';

const DEFAULT_RETRIES = 3;

/** The second argument of a handler. */
export interface HandlerContext {
  /**
   * Aborts when the handler exceeds its `timeout`, and when the subscriber unsubscribes. It is
   * created when it is first read, so read it before the work begins, as `(delivery, { signal }) =>
   * …` does.
   */
  readonly signal: AbortSignal;
}

/**
 * Processes a delivery. It may return nothing, a value, a promise, an Observable or an async
 * iterable. When that ends, the delivery is acknowledged. A handler fails if it throws, rejects or
 * errors. A failure with an `UnrecoverableError` is not retried.
 */
export type Handler<Item extends AnyDelivery = Delivery, Result = unknown> = (
  delivery: Item,
  context: HandlerContext,
) => Result;

// biome-ignore lint/suspicious/noConfusingVoidType: the type of a handler that returns nothing.
type Nothing = undefined | void;

/**
 * An Observable of any library, by the methods that they share. `Symbol.observable` has no type of
 * its own.
 */
interface AnyObservable<Value> {
  subscribe(...args: never[]): unknown;
  forEach(next: (value: Value) => void): PromiseLike<void>;
}

/**
 * The values that `handle` emits: those of an Observable or an async iterable one by one, any other
 * result as it is, except undefined.
 */
export type HandlerOutput<Result> =
  Result extends AnyObservable<infer Value>
    ? Value
    : Result extends PromiseLike<infer Value>
      ? Exclude<Value, Nothing>
      : Result extends AsyncIterable<infer Value>
        ? Value
        : Exclude<Result, Nothing>;

export interface RetryOptions<Item extends AnyDelivery = Delivery> {
  /** How many times a failed message is retried: an integer >= 0, or Infinity. Default: 3. */
  readonly count?: number | undefined;
  /**
   * The delay before a retry, in milliseconds >= 0, or a function that returns it. The function
   * gets the error, the number of the retry, from 1, and the failed delivery. Default:
   * `exponentialBackoff({ initial: 1000, max: 30_000, jitter: 0.2 })`.
   */
  readonly delay?: number | ((error: unknown, retryCount: number, delivery: Item) => number) | undefined;
}

/**
 * Takes a message that was given up. If it fails, `handle` calls it again later, with the same
 * delivery and error. If it fails with an `InvalidMessageError`, `handle` quarantines the message
 * instead.
 */
export type DeadLetterFunction<Item extends AnyDelivery = Delivery> = (
  delivery: Item,
  error: unknown,
  context: HandlerContext,
) => Promise<void> | void;

export interface HandleOptions<Item extends AnyDelivery = Delivery> {
  /**
   * How many handlers may run at a time: an integer >= 1. The `prefetch` of the stream should not
   * be smaller. Default: 1.
   */
  readonly concurrency?: number | undefined;
  /**
   * Handles deliveries of one key in order, one at a time, and different keys in parallel. `'key'`:
   * by the key of the message. A function: by its return value, compared as a `Map` does. A failed
   * delivery is then retried in place. Default: no order.
   */
  readonly orderBy?: 'key' | ((delivery: Item) => unknown) | undefined;
  /**
   * How long a handler may run, in milliseconds >= 1. Then its signal aborts, and it has failed.
   * Default: no limit.
   */
  readonly timeout?: number | undefined;
  readonly retry?: RetryOptions<Item> | undefined;
  /**
   * Gives up a message that was delivered more often, without running it, because it crashes its
   * consumers: an integer >= `retry.count` + 1, or Infinity. With a limit, a delivery past
   * `retry.count` + 1 runs alone: the consumer has nothing else in flight, so that only the message
   * that ends the process counts one more delivery. Default: Infinity.
   */
  readonly deliveryLimit?: number | undefined;
  /**
   * Takes messages that are given up: a queue, which gets the headers `sluice-error`,
   * `sluice-attempts`, `sluice-queue` and `sluice-group`, or a function. If the queue refuses a
   * message as invalid, `handle` shortens these headers, then leaves them out. If the message is
   * still invalid, the engine of the delivery quarantines it; memory rejects it. Default: none.
   * Messages that are given up are rejected and logged as errors.
   */
  readonly deadLetter?: Pick<QueueBackend, 'publish'> | DeadLetterFunction<Item> | undefined;
  /**
   * Stops the stream: running handlers finish, everything else is released, and the stream
   * completes.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with the outcome of each delivery, after it is settled. If it throws, the error is
   * logged.
   */
  readonly onOutcome?: ((outcome: Outcome<Item>) => void) | undefined;
  /**
   * The clock, and the timers of timeouts, retries in place and dead letters. Default: RxJS's
   * `asyncScheduler`.
   */
  readonly scheduler?: SchedulerLike | undefined;
  /**
   * Logs failures with the key, the id and the attempt of the message, never its payload. Default:
   * the console.
   */
  readonly logger?: Logger | undefined;
}

export interface CheckedHandleOptions {
  /**
   * The group of the consumer, for deliveries that do not tell theirs; undefined if it is unknown.
   */
  readonly group?: ConsumerGroup | undefined;
  readonly concurrency: number;
  readonly orderBy: ((delivery: Delivery) => unknown) | undefined;
  readonly timeout: number | undefined;
  readonly retryCount: number;
  readonly retryDelay: (error: unknown, retryCount: number, delivery: Delivery) => number;
  readonly deliveryLimit: number;
  readonly deadLetter: Pick<QueueBackend, 'publish'> | DeadLetterFunction | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onOutcome: ((outcome: Outcome) => void) | undefined;
  readonly scheduler: SchedulerLike;
  readonly logger: Logger;
}

/** The options of one subscription. Their functions run in its asynchronous context. */
export interface BoundHandleOptions extends CheckedHandleOptions {
  readonly context: AsyncContext;
}

/** Adapts the credit of a subscription to its handlers. */
export interface PrefetchController {
  /**
   * A handler has started.
   * @param now the time of the scheduler, in milliseconds
   */
  handlerStarted(now: number): void;
  /** No more handlers will start. */
  stop(): void;
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkHandleOptions(options: HandleOptions | undefined): CheckedHandleOptions {
  const given = checkOptions(options);
  const {
    concurrency = 1,
    orderBy,
    timeout,
    deadLetter,
    signal,
    onOutcome,
    scheduler = asyncScheduler,
    logger = defaultLogger,
  } = given;
  const { count = DEFAULT_RETRIES, delay = exponentialBackoff() } = checkOptions(given.retry, 'retry');
  checkCount('retry.count', count, { least: 0, infinity: true });
  const { deliveryLimit = Number.POSITIVE_INFINITY } = given;
  return {
    concurrency: checkCount('concurrency', concurrency),
    orderBy: checkOrderBy(orderBy),
    timeout: timeout === undefined ? undefined : checkMilliseconds('timeout', timeout, { least: 1 }),
    retryCount: count,
    retryDelay: checkDelay(delay),
    deliveryLimit: checkCount('deliveryLimit', deliveryLimit, {
      least: count + 1,
      why: ' (`retry.count` + 1)',
      infinity: true,
    }),
    deadLetter: checkDeadLetter(deadLetter),
    signal: checkSignal('signal', signal),
    onOutcome: onOutcome === undefined ? undefined : checkFunction('onOutcome', onOutcome),
    scheduler: checkMethods('scheduler', scheduler, ['now', 'schedule']),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
}

/**
 * Binds the functions of the options to the asynchronous context of this call.
 *
 * The handler is not among them: `Workers` enters the context, because it also subscribes to the
 * handler's result there.
 */
export function bindHandleOptions(options: CheckedHandleOptions): BoundHandleOptions {
  const context = new AsyncContext();
  const { orderBy, retryDelay, deadLetter, onOutcome, logger } = options;
  // A spread would give each subscription an object of another shape, and slow down all of them.
  return {
    group: options.group,
    concurrency: options.concurrency,
    timeout: options.timeout,
    retryCount: options.retryCount,
    deliveryLimit: options.deliveryLimit,
    signal: options.signal,
    scheduler: options.scheduler,
    context,
    orderBy: orderBy && context.bind(orderBy),
    retryDelay: context.bind(retryDelay),
    deadLetter:
      typeof deadLetter === 'function'
        ? context.bind(deadLetter)
        : deadLetter && { publish: context.bind((...message) => deadLetter.publish(...message)) },
    onOutcome: onOutcome && context.bind(onOutcome),
    logger: { debug: context.bind(logger.debug), warn: context.bind(logger.warn), error: context.bind(logger.error) },
  };
}

function checkOrderBy(orderBy: HandleOptions['orderBy']): CheckedHandleOptions['orderBy'] {
  if (orderBy === 'key') return ({ key }) => key;
  if (orderBy === undefined || typeof orderBy === 'function') return orderBy;
  const Wrong = typeof orderBy === 'string' ? RangeError : TypeError;
  throw new Wrong(`Expected \`orderBy\` to be 'key' or a function, got ${describe(orderBy)}`);
}

function checkDelay(delay: NonNullable<RetryOptions['delay']>): CheckedHandleOptions['retryDelay'] {
  if (typeof delay === 'function') return delay;
  const milliseconds = checkMilliseconds('retry.delay', delay);
  return () => milliseconds;
}

function checkDeadLetter(deadLetter: HandleOptions['deadLetter']): CheckedHandleOptions['deadLetter'] {
  if (deadLetter === undefined || typeof deadLetter === 'function' || typeof deadLetter?.publish === 'function')
    return deadLetter;
  throw new TypeError(`Expected \`deadLetter\` to be a queue or a function, got ${describe(deadLetter)}`);
}
