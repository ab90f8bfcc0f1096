import type { Observable } from 'rxjs';
import type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  DeliveryStream,
  EventMap,
  PayloadOf,
  PublishArguments,
  PublishOptions,
  QueueBackend,
  QueueEntry,
  QueueKey,
  QueuePayload,
  QueueStats,
  StatsOptions,
} from '../backend.js';
import { type CheckedConsumeOptions, checkConsumeOptions, DEFAULT_GROUP } from '../bridge/consume-options.js';
import { consumeDeliveries, createDeliveryStream, type DeliverySource } from '../bridge/delivery-stream.js';
import { asyncDispose } from '../internal/async-dispose.js';
import { checkDeclared } from '../internal/declared-groups.js';
import { describeError } from '../internal/describe.js';
import type { Env } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkKey, checkPayload, copyAsJson } from '../internal/message.js';
import { checkFlag, checkName, checkOptions, checkSignal } from '../internal/options.js';
import { checkPublishOptions, type PublishDetails } from '../internal/publish-options.js';
import { DeliverySubscription } from './delivery-subscription.js';
import { checkMemoryOptions, type MemoryBackendOptions } from './options.js';
import { PayloadIterator } from './payload-iterator.js';
import { MemoryQueue } from './queue.js';
import { shareByName } from './shared.js';

/** Stands for the key that was checked last, before any was. */
const NO_KEY = Symbol('no key');

export interface JoinOptions {
  /** Gives the wait up: `join` rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

export interface CloseOptions {
  /**
   * `true`: consumers still get what waits, and what is delayed in its time; a stream ends when nothing is left for its group. `false`: what waits or is
   * delayed is discarded and counts as done, also after a first `close()`. Default: `true`.
   */
  readonly drain?: boolean | undefined;
}

export interface FromEnvOptions {
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue in this process: for development, unit tests and CI without a broker, and the model of how a backend behaves.
 *
 * *When to use*: wherever a broker would only be in the way. In production set `QUEUE_BACKEND` to a broker.
 *
 * *Gotchas*: messages live in memory only, are visible in this process only and are gone with it. Groups are ignored unless `groups` declares them; then another
 * group is refused, as by a broker.
 * A queue without a `capacity` grows as long as nobody consumes.
 *
 * Everything takes effect within the call: `publish` has enqueued and delivered before it returns its promise, `ack` has freed the credit. Only what is
 * called from inside a subscriber's `next` waits for that to return. Only chains without an end are broken, so that the event loop stays alive: more than
 * 2²¹ messages, or 32,768 consumers, that come one out of the other in one call go on in a macrotask, and so does the 257th consumer that subscribed and left
 * within one call after another.
 *
 * @example
 * ```ts
 * const queue = new MemoryBackend();
 * await queue.publish('greeting', { text: 'hello' });
 * for await (const payload of queue.consume()) console.log(payload);
 * ```
 */
export class MemoryBackend<Events extends EventMap<Events> = AnyEvents> implements QueueBackend<Events> {
  readonly #queue: MemoryQueue;
  readonly #checkPayload: (payload: unknown) => QueuePayload;
  readonly #source: DeliverySource;
  /** The key that was checked last: most publishers use few keys, and a check costs more than the rest of a publish. */
  #checkedKey: QueueKey | typeof NO_KEY = NO_KEY;
  /** Whether it has warned that it ignores groups. */
  #warnedOfGroups = false;

  /**
   * A queue of its own.
   * @throws {TypeError | RangeError} for an option without sense; it names the option
   */
  constructor(options?: MemoryBackendOptions) {
    const checked = checkMemoryOptions(options);
    this.#queue = new MemoryQueue(checked);
    this.#checkPayload = checked.validate === 'json' ? copyAsJson : checkPayload;
    this.#source = {
      obeysCredit: true,
      connect: (subscriber, intake) => DeliverySubscription.connect(this.#queue, subscriber, intake),
      waitCancelled: (count) => this.#queue.waitCancelled(count),
    };
  }

  /**
   * The queue of this process that is called `QUEUE_NAME` (default: `default`), with `QUEUE_CAPACITY` (default: Infinity) and `QUEUE_GROUPS` (a
   * list with commas; default: groups are ignored). Payloads are validated as `'json'`, as by a broker. All who ask for one name share one queue until
   * one of them closes it; the first decides. Warns that this is for development and testing.
   * @throws {ConfigurationError} for a malformed variable; it names the variable
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env?: Env,
    options?: FromEnvOptions,
  ): MemoryBackend<Events> {
    return shareByName(env, checkOptions(options).logger, (given) => new MemoryBackend(given)) as MemoryBackend<Events>;
  }

  get name(): string {
    return this.#queue.options.name;
  }

  /** Messages that wait, delayed ones included. */
  get size(): number {
    return this.#queue.counts.waiting;
  }

  /** Messages that are delivered and not settled. */
  get inFlight(): number {
    return this.#queue.counts.out;
  }

  /** `size` and `inFlight` together. Never negative, however often a delivery is settled. */
  get unfinished(): number {
    return this.#queue.counts.unfinished;
  }

  /** Messages that an overflow policy dropped. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#queue.closed;
  }

  /** What is published, as the queue takes it, in order; nothing from before the subscription. Completes on `close()`. */
  get published$(): Observable<QueueEntry<Events>> {
    return this.#queue.watch.published$ as Observable<QueueEntry<Events>>;
  }

  /** The number of unfinished messages: the current one at once, then every change. Completes when the queue is closed and nothing is unfinished. */
  get unfinished$(): Observable<number> {
    return this.#queue.watch.unfinished$;
  }

  /**
   * Sends a message. Resolves when there is room for it, which with an unbounded queue is at once.
   * @throws {InvalidMessageError} (a rejection, as all of these) for a bad key, payload or header
   * @throws {ConfigurationError} if `groups` does not declare the group
   * @throws {QueueClosedError} after `close()`, and when the queue is closed while it waits
   * @throws {QueueOverflowError} when the queue is full and its policy is `'error'`
   * @throws `signal.reason` when the signal aborted before there was room
   */
  publish(...message: PublishArguments<Events>): Promise<void>;
  publish(key: QueueKey, payload: QueuePayload, options?: PublishOptions): Promise<void> {
    let accepted: QueuePayload;
    let details: PublishDetails | undefined;
    try {
      accepted = this.#check(key, payload);
      if (options !== undefined) {
        details = checkPublishOptions(options);
        if (details.group !== undefined) this.#checkGroup(details.group);
      }
    } catch (error) {
      return Promise.reject(error);
    }
    try {
      return this.#queue.publish(key, accepted, details);
    } catch (error) {
      // What is expected comes as a rejection: this is the scheduler or the logger that was handed in.
      this.#queue.options.logger.error(
        `A publish to queue ${JSON.stringify(this.name)} failed: ${describeError(error)}`,
        {
          queue: this.name,
          error,
        },
      );
      return Promise.reject(error);
    }
  }

  /**
   * Sends a message if there is room for it now; never waits and never overtakes a `publish` that does. Says whether the message was taken.
   * @throws {InvalidMessageError} for a bad key or payload
   * @throws {QueueClosedError} after `close()`
   */
  tryPublish(...entry: [...QueueEntry<Events>]): boolean;
  tryPublish(key: QueueKey, payload: QueuePayload): boolean {
    return this.#queue.tryPublish(key, this.#check(key, payload));
  }

  /**
   * Payloads, one after the other: at most once. A payload is acknowledged when the loop comes back for the next one, or leaves, even by a throw.
   * Nothing is taken out of the queue before it is asked for, beyond `prefetch` (default 1). An abort ends it without an error.
   * @throws {TypeError | RangeError} for an option without sense
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable {
    const checked = this.#checkConsumer(options);
    const { prefetch = 1, group, signal } = checked;
    const payloads =
      prefetch === 1 ? new PayloadIterator(this.#queue, group, signal) : consumeDeliveries(this.#source, checked);
    return payloads as AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable;
  }

  /**
   * Messages on loan, to be settled by whoever holds them: at least once.
   * @throws {TypeError | RangeError} for an option without sense
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events> {
    return createDeliveryStream(this.#source, this.#checkConsumer(options));
  }

  /**
   * Counts, at this moment: of one group, or over all.
   * @throws {TypeError | RangeError} (a rejection, like the other errors) if the group is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  async stats(options?: StatsOptions): Promise<QueueStats> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkGroup(checkName('group', group));
    return this.#queue.stats(group);
  }

  /** Resolves when nothing is unfinished; rejects with `signal.reason` when the signal aborted first. */
  join(options?: JoinOptions): Promise<void> {
    try {
      return this.#queue.watch.join(checkSignal('signal', checkOptions(options).signal));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Removes what waits or is delayed and returns it, in order; it counts as done. For the teardown of a test. What is out stays out, and a `publish` that
   * waited for room has room now.
   */
  clear(): QueueEntry<Events>[] {
    return this.#queue.clear() as QueueEntry<Events>[];
  }

  /**
   * Ends the queue: a later `publish`, and one that waits for room, rejects with `QueueClosedError`. Resolves at once; `join()` is what waits.
   * Idempotent.
   */
  async close(options?: CloseOptions): Promise<void> {
    const { drain = true } = checkOptions(options);
    this.#queue.close(checkFlag('drain', drain));
  }

  async [asyncDispose](): Promise<void> {
    await this.close();
  }

  #check(key: QueueKey, payload: QueuePayload): QueuePayload {
    if (key !== this.#checkedKey) {
      checkKey(key);
      this.#checkedKey = key;
    }
    return this.#checkPayload(payload);
  }

  #checkConsumer(options: ConsumeOptions | undefined): CheckedConsumeOptions {
    const checked = checkConsumeOptions(options);
    this.#checkGroup(checked.group);
    return checked;
  }

  /** Refuses a group that is not declared. Where groups are ignored, warns once. */
  #checkGroup(group: ConsumerGroup): void {
    const { groups, logger } = this.#queue.options;
    if (groups !== 'ignored') checkDeclared(group, groups, this.name);
    else if (group !== DEFAULT_GROUP && !this.#warnedOfGroups) {
      this.#warnedOfGroups = true;
      const [queue, named] = [this.name, group].map((name) => JSON.stringify(name));
      logger.warn(
        `Queue ${queue} ignores group ${named}: MemoryBackend was given no groups, so all consumers compete. A broker refuses a group that is not ` +
          'declared. Declare it in the `groups` option or in QUEUE_GROUPS.',
        { queue: this.name, group },
      );
    }
  }
}
