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
  QueueDiagnosis,
  QueueKey,
  QueuePayload,
  QueueStats,
  QueueStatus,
  StatsOptions,
} from '../backend.js';
import { checkConsumeOptions, checkPeekOptions } from '../bridge/consume-options.js';
import {
  type CreditIntake,
  consumeDeliveries,
  createDeliveryStream,
  type DeliverySource,
} from '../bridge/delivery-stream.js';
import { ConfigurationError, QueueClosedError, UnsupportedOperationError } from '../errors.js';
import { answerTo } from '../internal/answers.js';
import { asyncDispose } from '../internal/async-dispose.js';
import { type CheckedMessage, checkDeclared, checkMessage } from '../internal/check-message.js';
import { checkName, checkOptions } from '../internal/options.js';
import { SYSTEM, type TellsSystem } from '../internal/system.js';
import { withDeadline, within } from './deadline.js';
import type { Driver, DriverAdministration, DriverConsumer } from './driver.js';
import { ConnectionLostError } from './engine-errors.js';
import type { QueueEvents } from './events.js';
import type { CheckedDriverOptions } from './options.js';

/** The deadline of `close()` for an engine that does not respond, in milliseconds. */
const SHUTDOWN_TIMEOUT = 5000;

/** Implements the contract over a `Driver`. Every backend of an engine extends it. */
export abstract class DriverBackend<Events extends EventMap<Events> = AnyEvents>
  implements ManagedQueue<Events>, TellsSystem
{
  readonly #options: CheckedDriverOptions;
  readonly #driver: Driver;
  readonly #events: QueueEvents;
  readonly #consumers = new Map<ConsumerGroup, DriverConsumer>();
  readonly #source: DeliverySource;
  #closed: Promise<void> | undefined;

  constructor(options: CheckedDriverOptions, driver: Driver) {
    this.#options = options;
    this.#driver = driver;
    this.#events = driver.events;
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

  get name(): string {
    return this.#options.name;
  }

  get [SYSTEM](): string {
    return this.#driver.failures.engine.toLowerCase();
  }

  /**
   * Publishes a message and waits for the confirm of the engine. Messages that are published in one
   * turn are sent together. After a lost connection, unconfirmed messages are sent again.
   * @throws {InvalidMessageError} (a rejection, like all others) if the key, a header or the
   * payload is invalid, or the payload is larger than the engine accepts
   * @throws {ConfigurationError} if `groups` does not declare the group
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the message is not confirmed within `publishTimeout`, or
   * the engine refuses it. The error says whether the message may have been enqueued.
   * @throws `signal.reason` if the signal aborts before the message is sent
   */
  publish(...message: PublishArguments<Events>): Promise<void>;
  // Not async: that saves a promise for each message.
  publish(key: QueueKey, payload: QueuePayload, options?: PublishOptions): Promise<void> {
    return answerTo(() => this.#driver.publisher.publish(this.checked(key, payload, options)));
  }

  /**
   * Checks and copies the arguments of a publish.
   * @throws what `publish` rejects with before it sends a message
   */
  protected checked(key: QueueKey, payload: QueuePayload, options?: PublishOptions): CheckedMessage {
    const message = checkMessage(key, payload, options);
    if (message.group !== undefined) this.#checkDeclared(message.group);
    this.#checkOpen();
    return message;
  }

  /**
   * Iterates over payloads, at most once. The loop acknowledges a payload when it asks for the next
   * one or leaves, even by a throw.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable {
    return consumeDeliveries(this.#source, this.#checkConsume(options)) as AsyncIterableIterator<PayloadOf<Events>> &
      AsyncDisposable;
  }

  /**
   * Delivers messages that the subscriber settles: at least once. A lost connection does not end
   * the stream. A fatal error, such as a wrong password, ends it with a `BackendUnavailableError`.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   * @throws {ConfigurationError} if `groups` does not declare the group
   */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events> {
    return createDeliveryStream(this.#source, this.#checkConsume(options));
  }

  /**
   * Counts the messages of one group, or of all groups, after all settlements that were made
   * before.
   * @throws {ConfigurationError} (a rejection, like all others) if `groups` does not declare the
   * group
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond within `publishTimeout`
   */
  async stats(options?: StatsOptions): Promise<QueueStats> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkDeclared(checkName('group', group));
    return this.#request((signal) => this.#driver.count(group, signal));
  }

  get status$(): Observable<QueueStatus> {
    return this.#events.status$;
  }

  async groups(): Promise<GroupInfo[]> {
    const found = await this.#administer((administration, signal) => administration.groups(signal));
    const { groups, create } = this.#options;
    const missing = create ? groups.filter((name) => !found.some((group) => group.name === name)) : [];
    return [
      ...found.map((group) => ({ ...group, declared: groups.includes(group.name) })),
      ...missing.map((name) => ({ name, declared: true, ready: 0, unfinished: 0 })),
    ];
  }

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

  async peek(options?: PeekOptions): Promise<MessageView[]> {
    const { group, limit } = checkPeekOptions(options);
    this.#checkDeclared(group);
    return [...(await this.#administer((administration, signal) => administration.peek(group, limit, signal)))];
  }

  async purge(options?: PurgeOptions): Promise<number> {
    const { group } = checkOptions(options);
    if (group !== undefined) this.#checkDeclared(checkName('group', group));
    return this.#administer((administration, signal) => administration.purge(group, signal));
  }

  async diagnose(): Promise<QueueDiagnosis> {
    return this.#administer((administration, signal) => administration.diagnose?.(signal));
  }

  async deleteQueue(): Promise<void> {
    await this.#administer((administration, signal) => administration.deleteQueue?.(signal));
    await this.close();
  }

  /**
   * Closes the queue in this process: ends the streams, requeues messages in flight, waits for
   * confirms, then disconnects. Does not wait for handlers, and at most five seconds for an engine
   * that does not respond. Idempotent.
   */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      let done!: (closed: Promise<void>) => void;
      // The queue counts as closed before a stream ends: a subscriber may call `close()` then, or
      // subscribe again.
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
      // Consumers close first: some engines requeue with a delay by a new message.
      const ended = consumers.map((consumer) => consumer.close());
      await Promise.all(ended);
      await publisher.close();
      await this.#driver.shutDown();
    };
    await within(
      SHUTDOWN_TIMEOUT,
      // If the engine cannot be reached, it redelivers when leases expire. Unconfirmed publishes
      // reject below.
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

  async #administer<Value>(
    call: (administration: DriverAdministration, signal: AbortSignal) => Promise<Value> | undefined,
  ): Promise<Value> {
    const { administration, failures } = this.#driver;
    const unsupported = () =>
      new UnsupportedOperationError(
        `This backend cannot ${administration === undefined ? 'administrate queues' : 'do this'}. Use the tools of ${failures.engine}.`,
      );
    if (administration === undefined) throw unsupported();
    return this.#request(async (signal) => {
      const value = call(administration, signal);
      if (value === undefined) throw unsupported();
      return value;
    });
  }

  /** Sends a request after all settlements that were made before. */
  async #request<Value>(send: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    this.#checkOpen();
    return this.#withTimeout(async (signal) => {
      await Promise.all([...this.#consumers.values()].map((consumer) => consumer.settled()));
      return send(signal);
    });
  }

  /** Limits a call to `publishTimeout`. The signal of the call aborts when it fails. */
  async #withTimeout<Value>(call: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    const { publishTimeout } = this.#options;
    const { failures } = this.#driver;
    const late = () =>
      new ConnectionLostError(`${failures.engine} did not answer within ${publishTimeout} ms`, {
        cause: this.#driver.lastError(),
      });
    const controller = new AbortController();
    try {
      return await withDeadline(call(controller.signal), publishTimeout, late);
    } catch (error) {
      const explained = failures.explained(error);
      controller.abort(explained);
      throw explained;
    }
  }
}
