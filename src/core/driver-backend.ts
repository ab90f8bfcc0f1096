import type { Observable, Subscriber } from 'rxjs';
import type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  Delivery,
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
  QueueKey,
  QueuePayload,
  QueueStats,
  QueueStatus,
  StatsOptions,
} from '../backend.js';
import { checkConsumeOptions, DEFAULT_GROUP } from '../bridge/consume-options.js';
import {
  type CreditIntake,
  consumeDeliveries,
  createDeliveryStream,
  type DeliverySource,
} from '../bridge/delivery-stream.js';
import { ConfigurationError, QueueClosedError, UnsupportedOperationError } from '../errors.js';
import { answerTo } from '../internal/answers.js';
import { asyncDispose } from '../internal/async-dispose.js';
import { checkMessage } from '../internal/check-message.js';
import { checkDeclared } from '../internal/declared-groups.js';
import { checkCount, checkName, checkOptions } from '../internal/options.js';
import { withDeadline, within } from './deadline.js';
import type { Driver, DriverAdministration, DriverConsumer } from './driver.js';
import { ConnectionLostError } from './engine-errors.js';
import { QueueEvents } from './events.js';
import type { CheckedDriverOptions } from './options.js';

/** How many messages `peek` shows by default. */
const DEFAULT_PEEK_LIMIT = 20;

/** How long `close()` waits at most for an engine that does not answer, in milliseconds. */
const SHUTDOWN_TIMEOUT = 5000;

/** What the backends of all brokers have in common: the contract, over a `Driver`. */
export abstract class DriverBackend<Events extends EventMap<Events> = AnyEvents> implements ManagedQueue<Events> {
  readonly #options: CheckedDriverOptions;
  readonly #driver: Driver;
  readonly #events: QueueEvents;
  readonly #consumers = new Map<ConsumerGroup, DriverConsumer>();
  readonly #source: DeliverySource;
  #closed: Promise<void> | undefined;

  constructor(options: CheckedDriverOptions, driver: Driver) {
    this.#options = options;
    this.#driver = driver;
    this.#events = driver.events ?? new QueueEvents({ queue: options.name, logger: options.logger });
    const { name, logger } = options;
    this.#source = {
      obeysCredit: true,
      connect: (subscriber, intake) => this.#connect(subscriber, intake),
      waitCancelled: (count) =>
        logger.debug(
          `A consumer of queue ${JSON.stringify(name)} left while ${count} of its calls waited for a message`,
          { queue: name },
        ),
    };
  }

  /** The name of the queue. */
  get name(): string {
    return this.#options.name;
  }

  /**
   * Sends a message. Resolves when the broker has confirmed it; what is published in one turn travels together. A message that was on its way when the connection
   * was lost is sent again.
   * @throws {InvalidMessageError} (a rejection, as all of these) for a bad key or header, a payload that JSON would change, or one that is more than the broker takes
   * @throws {ConfigurationError} if `groups` does not declare the group
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} when it was not confirmed within `publishTimeout`, or the broker refuses; the message says whether it may have been enqueued.
   * While `maxPending` messages are not confirmed, it waits for room within the same time.
   * @throws `signal.reason` when the signal aborted before it was sent
   */
  publish(...message: PublishArguments<Events>): Promise<void>;
  // Not async: a promise less for each message that waits.
  publish(key: QueueKey, payload: QueuePayload, options?: PublishOptions): Promise<void> {
    return answerTo(() => {
      const message = checkMessage(key, payload, options);
      if (message.group !== undefined) this.#checkDeclared(message.group);
      this.#checkOpen();
      return this.#driver.publisher.publish(message);
    });
  }

  /**
   * Payloads, one after the other: at most once. A payload is acknowledged when the loop comes back for the next one, or leaves, even by a throw.
   * @throws {TypeError | RangeError} for an option without sense
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable {
    return consumeDeliveries(this.#source, this.#checkConsume(options)) as AsyncIterableIterator<PayloadOf<Events>> &
      AsyncDisposable;
  }

  /**
   * Messages on loan, to be settled by whoever holds them: at least once. Fails with a `BackendUnavailableError` where no second attempt would mend it, as
   * with a wrong password; a connection that is lost is no failure.
   * @throws {TypeError | RangeError} for an option without sense
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events> {
    return createDeliveryStream(this.#source, this.#checkConsume(options));
  }

  /**
   * Counts, at this moment, after everything that was settled here before: of one group, or over all.
   * @throws {QueueClosedError} (a rejection, as all of these) after `close()`
   * @throws {ConfigurationError} if `groups` does not declare the group
   * @throws {BackendUnavailableError} when the broker does not answer within `publishTimeout`
   */
  async stats(options?: StatsOptions): Promise<QueueStats> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkDeclared(checkName('group', group));
    return this.#request((signal) => this.#driver.count(group, signal));
  }

  /** Emits the current status first, then every change. Completes after `'closed'`. */
  get status$(): Observable<QueueStatus> {
    return this.#events.status$;
  }

  /**
   * Lists the groups of the queue: the declared ones, and those that other processes have created.
   * @throws {QueueClosedError} (a rejection, as all of these) after `close()`
   * @throws {BackendUnavailableError} if the engine does not answer within `publishTimeout`
   */
  async groups(): Promise<GroupInfo[]> {
    const found = await this.#administer((administration, signal) => administration.groups(signal));
    const { groups } = this.#options;
    const missing = groups.filter((name) => !found.some((group) => group.name === name));
    return [
      ...found.map((group) => ({ ...group, declared: groups.includes(group.name) })),
      ...missing.map((name) => ({ name, declared: true, ready: 0, unfinished: 0 })),
    ];
  }

  /**
   * Deletes a group, with its messages. Resolves to whether there was one.
   * @throws {ConfigurationError} (a rejection, as all of these) if this backend declares the group
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not answer within `publishTimeout`
   */
  async deleteGroup(name: ConsumerGroup): Promise<boolean> {
    checkName('name', name);
    if (this.#options.groups.includes(name)) {
      throw new ConfigurationError(
        `Group ${JSON.stringify(name)} of queue ${JSON.stringify(this.name)} is declared by this backend and cannot be deleted. ` +
          'Remove it from the `groups` option and from QUEUE_GROUPS first.',
      );
    }
    return this.#administer((administration, signal) => administration.deleteGroup(name, signal));
  }

  /**
   * Shows waiting messages, in order, without taking them. Delayed messages follow, with the time at which they become due.
   * @throws {ConfigurationError} (a rejection, as all of these) if `groups` does not declare the group
   * @throws {UnsupportedOperationError} if the engine cannot show waiting messages
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not answer within `publishTimeout`
   */
  async peek(options?: PeekOptions): Promise<MessageView[]> {
    const { group = DEFAULT_GROUP, limit = DEFAULT_PEEK_LIMIT } = checkOptions(options);
    this.#checkDeclared(checkName('group', group));
    checkCount('limit', limit);
    return [...(await this.#administer((administration, signal) => administration.peek(group, limit, signal)))];
  }

  /**
   * Removes waiting and delayed messages, but none in flight. Resolves to how many messages it removed.
   * @throws {ConfigurationError} (a rejection, as all of these) if `groups` does not declare the group
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not answer within `publishTimeout`
   */
  async purge(options?: PurgeOptions): Promise<number> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkDeclared(checkName('group', group));
    return this.#administer((administration, signal) => administration.purge(group, signal));
  }

  /**
   * Ends the queue for this process: streams end, what is out goes back, what was published before is still confirmed; then the connections are closed. Waits for
   * nobody's handler, and for a broker that does not answer no longer than five seconds. Idempotent.
   */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      let done!: (closed: Promise<void>) => void;
      // It is closed before the first stream ends: whoever hears of that may close it, too, or come anew.
      this.#closed = new Promise((resolve) => {
        done = resolve;
      });
      done(this.#close());
    }
    return this.#closed;
  }

  async [asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { publisher } = this.#driver;
    const consumers = [...this.#consumers.values()];
    const shutDown = async () => {
      // A consumer may have something to publish yet: what goes back with a delay is a new message on some brokers.
      const ended = consumers.map((consumer) => consumer.close());
      await Promise.all(ended);
      await publisher.close();
      await this.#driver.shutDown();
    };
    await within(
      SHUTDOWN_TIMEOUT,
      // A broker that could not be told redelivers when leases expire. Publishes that are not confirmed reject below.
      shutDown().catch(() => {}),
    );
    publisher.abandon();
    for (const consumer of consumers) consumer.abandon();
    this.#events.close();
    this.#driver.close();
  }

  #checkConsume(options: ConsumeOptions | undefined): ReturnType<typeof checkConsumeOptions> {
    const checked = checkConsumeOptions(options);
    this.#checkDeclared(checked.group);
    return checked;
  }

  #checkDeclared(group: ConsumerGroup): void {
    checkDeclared(group, this.#options.groups, this.name);
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw new QueueClosedError(`Queue ${JSON.stringify(this.name)} is closed`);
  }

  #connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    if (this.#closed !== undefined || intake.signal?.aborted) {
      subscriber.complete();
      return;
    }
    this.#consumerOf(intake.group).connect(subscriber, intake);
  }

  #consumerOf(group: ConsumerGroup): DriverConsumer {
    const existing = this.#consumers.get(group);
    if (existing !== undefined) return existing;
    const consumer = this.#driver.createConsumer(group);
    this.#consumers.set(group, consumer);
    return consumer;
  }

  #administer<Value>(
    call: (administration: DriverAdministration, signal: AbortSignal) => Promise<Value>,
  ): Promise<Value> {
    const { administration, failures } = this.#driver;
    if (administration === undefined) {
      throw new UnsupportedOperationError(
        `This backend cannot administrate queues. Use the tools of ${failures.broker}.`,
      );
    }
    return this.#request((signal) => call(administration, signal));
  }

  /** Sends a request after everything that was settled here before. */
  async #request<Value>(send: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    this.#checkOpen();
    return this.#inTime(async (signal) => {
      await Promise.all([...this.#consumers.values()].map((consumer) => consumer.settled()));
      return send(signal);
    });
  }

  /** What a call answers, unless it takes longer than a publish may. Its signal aborts when it is given up. */
  async #inTime<Value>(call: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    const { publishTimeout } = this.#options;
    const { failures } = this.#driver;
    const late = () =>
      new ConnectionLostError(`${failures.broker} did not answer within ${publishTimeout} ms`, {
        cause: this.#driver.lastError(),
      });
    const givingUp = new AbortController();
    try {
      return await withDeadline(call(givingUp.signal), publishTimeout, late);
    } catch (error) {
      const explained = failures.explained(error);
      givingUp.abort(explained);
      throw explained;
    }
  }
}
