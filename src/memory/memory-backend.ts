import type { Observable } from 'rxjs';
import type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  DeliveryStream,
  EventMap,
  GroupInfo,
  ManagedQueue,
  MessageView,
  PayloadOf,
  PeekOptions,
  PublishArguments,
  PublishOptions,
  PurgeOptions,
  QueueDiagnosis,
  QueueEntry,
  QueueKey,
  QueuePayload,
  QueueStats,
  QueueStatus,
  StatsOptions,
} from '../backend.js';
import {
  type CheckedConsumeOptions,
  checkConsumeOptions,
  checkPeekOptions,
  DEFAULT_GROUP,
} from '../bridge/consume-options.js';
import { consumeDeliveries, createDeliveryStream, type DeliverySource } from '../bridge/delivery-stream.js';
import { asyncDispose } from '../internal/async-dispose.js';
import { checkDeclared, checkPublishOptions, type PublishDetails } from '../internal/check-message.js';
import { describeError } from '../internal/describe.js';
import type { Env } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkKey, checkPayload, copyAsJson } from '../internal/message.js';
import { checkFlag, checkName, checkOptions, checkSignal } from '../internal/options.js';
import { SYSTEM, type TellsSystem } from '../internal/system.js';
import { Administration } from './administration.js';
import { DeliverySubscription } from './delivery-subscription.js';
import { checkMemoryOptions, type MemoryBackendOptions } from './options.js';
import { PayloadIterator } from './payload-iterator.js';
import { MemoryQueue } from './queue.js';
import { shareByName } from './shared.js';

const NO_KEY = Symbol('no key');

export interface JoinOptions {
  /** Ends the wait: `join` rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

export interface CloseOptions {
  /**
   * `true`: consumers still get what waits, and delayed messages when they become due. A stream
   * ends when its group has nothing left. `false`: waiting and delayed messages are discarded and
   * count as done, also after a first `close()`. Default: `true`.
   */
  readonly drain?: boolean | undefined;
}

export interface FromEnvOptions {
  /** Receives warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * Implements a queue inside this process, for development, tests and CI without a broker.
 *
 * A message passes four stages, each in a file of its own:
 *
 * 1. `publish` gives it to a Subject (`entry-buffer.ts`), which emits the `[key, payload]` tuple on
 *    `published$`,
 * 2. and whose buffer holds it until a consumer of each group asks for it (`group.ts`).
 * 3. `deliveries()` is an Observable of unsettled messages (`delivery-subscription.ts`).
 * 4. `consume()` is an AsyncIterable of payloads (`payload-iterator.ts`).
 *
 * *When to use*: in development and tests. In production, set `QUEUE_BACKEND` to a broker.
 *
 * *Gotchas*: messages live in memory, only this process sees them, and they are lost when it exits.
 * Groups are ignored unless `groups` declares them; then other groups are refused, as by a broker.
 * A queue without a `capacity` grows while nothing consumes.
 *
 * Every call takes effect synchronously: `publish` enqueues and delivers before it returns its
 * promise, `ack` frees the credit. A call from inside a subscriber's `next` delivers when `next`
 * returns. Only endless chains are interrupted, so that the event loop stays responsive: after 2²¹
 * messages, or 32,768 consumers, that cause each other in one call, the rest continues in a
 * macrotask. So does the 257th consumer in a row that subscribes and leaves within one call.
 *
 * @example
 * ```ts
 * const queue = new MemoryBackend();
 * await queue.publish('greeting', { text: 'hello' });
 * for await (const payload of queue.consume()) console.log(payload);
 * ```
 */
export class MemoryBackend<Events extends EventMap<Events> = AnyEvents> implements ManagedQueue<Events>, TellsSystem {
  readonly #queue: MemoryQueue;
  readonly #administration: Administration;
  readonly #checkPayload: (payload: unknown) => QueuePayload;
  readonly #source: DeliverySource;
  /**
   * The last valid key: most publishers use few keys, and the check costs more than the rest of a
   * publish.
   */
  #checkedKey: QueueKey | typeof NO_KEY = NO_KEY;
  #warnedOfGroups = false;

  /**
   * Creates a queue that no other backend shares.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   */
  constructor(options?: MemoryBackendOptions) {
    const checked = checkMemoryOptions(options);
    this.#queue = new MemoryQueue(checked);
    this.#administration = new Administration(this.#queue);
    this.#checkPayload = checked.validate === 'json' ? copyAsJson : checkPayload;
    this.#source = {
      obeysCredit: true,
      connect: (subscriber, intake) => DeliverySubscription.connect(this.#queue, subscriber, intake),
      waitCancelled: (count) => this.#queue.waitCancelled(count),
    };
  }

  /**
   * Returns the queue of this process that is named `QUEUE_NAME` (default: `default`), or creates
   * it.
   *
   * Reads `QUEUE_CAPACITY` (default: Infinity), `QUEUE_GROUPS` (comma-separated; default: groups
   * are ignored) and `QUEUE_DEDUPE_WINDOW` (in milliseconds; default: 120,000). Validates payloads
   * as `'json'`, as a broker does. All callers with one name share one queue until one of them
   * closes it; the first caller decides the options. Warns that the queue is for development and
   * testing.
   * @throws {ConfigurationError} if a variable is malformed. The message names the variable.
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

  get [SYSTEM](): string {
    return 'memory';
  }

  /** How many messages wait, including delayed ones. */
  get size(): number {
    return this.#queue.counts.waiting;
  }

  /** How many messages are delivered and not settled. */
  get inFlight(): number {
    return this.#queue.counts.inFlight;
  }

  /** `size` and `inFlight` together. Never negative, however often a delivery is settled. */
  get unfinished(): number {
    return this.#queue.counts.unfinished;
  }

  /** How many messages an overflow policy has dropped. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#queue.closed;
  }

  /** Emits each message when the queue takes it, in order. Completes on `close()`. */
  get published$(): Observable<QueueEntry<Events>> {
    return this.#queue.buffer.asObservable() as Observable<QueueEntry<Events>>;
  }

  /**
   * Emits the number of unfinished messages first, then every change. Completes when the queue is
   * closed and nothing is unfinished.
   */
  get unfinished$(): Observable<number> {
    return this.#queue.watch.unfinished$;
  }

  /**
   * Emits `'idle'` until the first use, then `'connected'`: the current status first. Completes
   * after `'closed'`.
   */
  get status$(): Observable<QueueStatus> {
    return this.#queue.watch.status$;
  }

  /**
   * Publishes a message. Resolves when the queue has room for it; without a `capacity`,
   * immediately.
   *
   * A message whose `id` was published within `dedupeWindow` is not stored again. Only a stored
   * message counts as published, not one that was refused, aborted or dropped.
   * @throws {InvalidMessageError} (a rejection, as all of these) if the key, the payload or a
   * header is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   * @throws {QueueClosedError} after `close()`, also if the publish was waiting for room
   * @throws {QueueOverflowError} if the queue is full and its policy is `'error'`
   * @throws `signal.reason` if the signal aborts before there is room
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
      // Expected errors are rejections: this one comes from the application's scheduler or logger.
      const message = `A publish to queue ${JSON.stringify(this.name)} failed: ${describeError(error)}`;
      this.#queue.options.logger.error(message, { queue: this.name, error });
      return Promise.reject(error);
    }
  }

  /**
   * Publishes a message if there is room for it now. Never waits, and never overtakes a `publish`
   * that waits.
   * @returns whether the queue took the message
   * @throws {InvalidMessageError} if the key or the payload is invalid
   * @throws {QueueClosedError} after `close()`
   */
  tryPublish(...entry: [...QueueEntry<Events>]): boolean;
  tryPublish(key: QueueKey, payload: QueuePayload): boolean {
    return this.#queue.tryPublish(key, this.#check(key, payload));
  }

  /**
   * Delivers messages to be settled by the consumer: at least once.
   * @throws {TypeError | RangeError} if an option is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events> {
    return createDeliveryStream(this.#source, this.#checkConsumer(options));
  }

  /**
   * Delivers payloads one after another: at most once.
   *
   * A payload is acknowledged when the loop asks for the next one or exits, even by a throw. The
   * loop takes no message that it has not asked for, beyond `prefetch` (default 1). An abort ends
   * the loop without an error.
   * @throws {TypeError | RangeError} if an option is invalid
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
   * Counts the messages of a group, or of all groups, at this moment.
   * @throws {TypeError | RangeError} (a rejection, as all of these) if the group is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  async stats(options?: StatsOptions): Promise<QueueStats> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkGroup(checkName('group', group));
    return this.#administration.stats(group);
  }

  /** Lists the declared groups with their counts, or `default` where groups are ignored. */
  async groups(): Promise<GroupInfo[]> {
    return this.#administration.groups();
  }

  /**
   * Resolves to `false`: this queue has no groups but its own, and those cannot be deleted.
   * @throws {ConfigurationError} (a rejection) for a group that `groups()` lists
   */
  async deleteGroup(name: ConsumerGroup): Promise<boolean> {
    return this.#administration.deleteGroup(checkName('name', name));
  }

  /**
   * Shows waiting messages in order, then delayed ones with the time at which they become due, and
   * takes none of them.
   * @throws {TypeError | RangeError} (a rejection, as all of these) if an option is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  async peek(options?: PeekOptions): Promise<MessageView[]> {
    const { group, limit } = checkPeekOptions(options);
    this.#checkGroup(group);
    return this.#administration.peek(group, limit);
  }

  /**
   * Removes waiting and delayed messages, which then count as done, but none in flight. Resolves to
   * how many messages it removed.
   * @throws {TypeError | RangeError} (a rejection, as all of these) if the group is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  async purge(options?: PurgeOptions): Promise<number> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkGroup(checkName('group', group));
    return this.#queue.purge(group);
  }

  /** Finds one problem: the messages are lost when the process exits. */
  async diagnose(): Promise<QueueDiagnosis> {
    return this.#administration.diagnose();
  }

  /** Closes the queue and discards its messages. Those in flight can still be settled. */
  async deleteQueue(): Promise<void> {
    await this.close({ drain: false });
  }

  /**
   * Resolves when nothing is unfinished. Rejects with `signal.reason` if the signal aborts first.
   */
  join(options?: JoinOptions): Promise<void> {
    try {
      return this.#queue.watch.join(checkSignal('signal', checkOptions(options).signal));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Removes waiting and delayed messages and returns them in order, for the teardown of a test.
   * They count as done. Messages in flight stay in flight, and a `publish` that waits for room gets
   * it.
   */
  clear(): QueueEntry<Events>[] {
    return this.#queue.clear() as QueueEntry<Events>[];
  }

  /**
   * Closes the queue: a later `publish`, and one that waits for room, rejects with
   * `QueueClosedError`. Idempotent. Resolves immediately; `join()` waits.
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
        `Queue ${queue} ignores group ${named}: this MemoryBackend declares no groups, so all consumers compete. A broker refuses a ` +
          'group that is not declared. Declare it in the `groups` option or in QUEUE_GROUPS.',
        { queue: this.name, group },
      );
    }
  }
}
