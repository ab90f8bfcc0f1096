import { asyncScheduler, type SchedulerLike } from 'rxjs';
import type {
  ConsumerGroup,
  Delivery,
  DeliveryOf,
  QueueBackend,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../backend.js';
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

const DEFAULT_RETRIES = 3;

/** A delivery of some queue: of any, or of one with typed events. */
export type AnyDelivery = DeliveryOf<QueueKey, QueuePayload>;

/** What a handler gets beside the delivery. */
export interface HandlerContext {
  /**
   * Aborts when the handler has taken longer than its `timeout`, and when the subscriber leaves. It is made when it is first asked for; so ask before the
   * work begins, as `(delivery, { signal }) => …` does.
   */
  readonly signal: AbortSignal;
}

/**
 * What works on a delivery. It may return nothing, a value, a promise, an Observable or an async iterable; when that ends, the delivery is acknowledged.
 * To fail is to throw, to reject or to error. A failure with an `UnrecoverableError` gets no retries.
 */
export type Handler<Item extends AnyDelivery = Delivery, Result = unknown> = (
  delivery: Item,
  context: HandlerContext,
) => Result;

// biome-ignore lint/suspicious/noConfusingVoidType: what a handler returns that returns nothing has this type.
type Nothing = undefined | void;

/** An Observable of any library, by methods that they share: `Symbol.observable` has no type of its own that could tell it. */
interface AnyObservable<Value> {
  subscribe(...args: never[]): unknown;
  forEach(next: (value: Value) => void): PromiseLike<void>;
}

/** What flows downstream of a handler: values of an Observable or an async iterable one by one, any other result as it is, but undefined. */
export type HandlerOutput<Result> =
  Result extends AnyObservable<infer Value>
    ? Value
    : Result extends PromiseLike<infer Value>
      ? Exclude<Value, Nothing>
      : Result extends AsyncIterable<infer Value>
        ? Value
        : Exclude<Result, Nothing>;

/** How the handling of a delivery ended. */
export type OutcomeStatus = Exclude<Settlement, false> | 'dead-lettered';

/** What became of a delivery: one for each run of the handler, and one for each delivery that was given back or given up without a run. */
export interface Outcome<Item extends AnyDelivery = Delivery> {
  /**
   * `'acked'`: done. `'retried'`: it failed and will be tried again. `'dead-lettered'`, `'rejected'`: it was given up. `'released'`: given back, since
   * the consumer stopped, or another message has to be run alone.
   */
  readonly status: OutcomeStatus;
  readonly delivery: Item;
  /**
   * How long the handler ran, in milliseconds by the clock of `scheduler`. Where it took over from another at once, what `onOutcome` took for that one
   * is counted too.
   */
  readonly duration: number;
  /** What the handler failed with, or else the reason that it gave to `reject()`; absent if there is none. */
  readonly error?: unknown;
}

export interface RetryOptions<Item extends AnyDelivery = Delivery> {
  /** How many times a failed message is tried again, a whole number from 0 up, or Infinity. Default: 3. */
  readonly count?: number | undefined;
  /**
   * How long it waits before that: milliseconds from 0 up, or a function of the error, the number of the retry, from 1 up, and the failed delivery, that
   * returns them.
   * Default: `exponentialBackoff({ initial: 1000, max: 30_000, jitter: 0.2 })`.
   */
  readonly delay?: number | ((error: unknown, retryCount: number, delivery: Item) => number) | undefined;
}

/**
 * Takes a message that was given up. If it throws or rejects, `handle` calls it again later, with the same delivery and error. If it fails with an
 * `InvalidMessageError`, `handle` quarantines the message instead.
 */
export type DeadLetterFunction<Item extends AnyDelivery = Delivery> = (
  delivery: Item,
  error: unknown,
  context: HandlerContext,
) => Promise<void> | void;

export interface HandleOptions<Item extends AnyDelivery = Delivery> {
  /** How many handlers run at a time at most, a whole number from 1 up. The `prefetch` of the stream should not be smaller. Default: 1. */
  readonly concurrency?: number | undefined;
  /**
   * Deliveries of one key are handled in order, one after the other; different keys in parallel. `'key'`: by the key of the message. A function: by
   * what it returns, compared as a `Map` does. A failed delivery is then retried in place. Default: no order.
   */
  readonly orderBy?: 'key' | ((delivery: Item) => unknown) | undefined;
  /** How long a handler may take, in milliseconds, from 1 up; then its signal aborts, and it has failed. Default: for ever. */
  readonly timeout?: number | undefined;
  readonly retry?: RetryOptions<Item> | undefined;
  /**
   * Gives up a message that was delivered more often than this without running it, since it ends its consumers: a whole number, or Infinity, at least
   * `retry.count` + 1. With a limit, a delivery past `retry.count` + 1 is run alone: the consumer holds nothing else meanwhile, so that only the message that
   * ends the process is counted. Default: Infinity.
   */
  readonly deliveryLimit?: number | undefined;
  /**
   * Where a message goes that is given up: a queue, which gets it with the headers `sluice-error`, `sluice-attempts`, `sluice-queue` and `sluice-group`, or a function.
   * A queue that refuses it as invalid gets it with shorter headers, then without those of ours; if that is invalid too, the engine of the delivery
   * quarantines the message, and memory rejects it. Default: nowhere. It is rejected, and logged as an error.
   */
  readonly deadLetter?: Pick<QueueBackend, 'publish'> | DeadLetterFunction<Item> | undefined;
  /** Starts no more handlers: those that run finish, everything else is released, and the stream completes. */
  readonly signal?: AbortSignal | undefined;
  /** Called with what became of each delivery, after it was settled. What it throws is logged. */
  readonly onOutcome?: ((outcome: Outcome<Item>) => void) | undefined;
  /** Tells the time and runs the timers: of timeouts, of retries in place and of dead letters. Default: RxJS's `asyncScheduler`. */
  readonly scheduler?: SchedulerLike | undefined;
  /** Where failures are reported: with the key, the id and the attempt of the message, never its payload. Default: the console. */
  readonly logger?: Logger | undefined;
}

export interface CheckedHandleOptions {
  /** The group of the consumer, for deliveries that do not tell theirs; undefined if it is not known. */
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

/** @throws {TypeError | RangeError} for an option without sense; it names the option */
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
