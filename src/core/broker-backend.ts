import type { Subscriber } from 'rxjs';
import type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  Delivery,
  DeliveryStream,
  EventMap,
  PayloadOf,
  PublishArguments,
  PublishOptions,
  QueueBackend,
  QueueKey,
  QueuePayload,
  QueueStats,
  StatsOptions,
} from '../backend.js';
import { checkConsumeOptions } from '../bridge/consume-options.js';
import {
  type CreditIntake,
  consumeDeliveries,
  createDeliveryStream,
  type DeliverySource,
} from '../bridge/delivery-stream.js';
import { QueueClosedError } from '../errors.js';
import { answerTo } from '../internal/answers.js';
import { asyncDispose } from '../internal/async-dispose.js';
import { type CheckedMessage, checkMessage } from '../internal/check-message.js';
import { checkDeclared } from '../internal/declared-groups.js';
import { checkName, checkOptions } from '../internal/options.js';
import { withDeadline, within } from './deadline.js';
import { ConnectionLostError, type EngineErrors } from './engine-errors.js';
import type { CheckedBrokerOptions } from './options.js';

/** Sends messages to a broker. */
export interface BrokerPublisher {
  /** Resolves when the broker has confirmed the message. @throws {InvalidMessageError} when it is more than the broker takes */
  publish(message: CheckedMessage): Promise<void>;
  /** Sends what was published before, while there is a connection. Resolves when nothing is left. */
  close(): Promise<void>;
  /** Gives up what is not confirmed. */
  abandon(): void;
}

/** All subscriptions of this process to one group. */
export interface BrokerConsumer {
  /** Delivers to a subscriber until it leaves, the signal aborts or the queue is closed. */
  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void;
  /** Resolves when the broker knows of everything that was settled before. */
  settled(): Promise<void>;
  /** Ends the streams and gives back what is out. Resolves when the broker knows, or cannot be told. */
  close(): Promise<void>;
  /** Lets go of everything without a word to the broker. */
  abandon(): void;
}

/** A queue on a broker: what a provider has to write. Nothing of it connects before it is used. */
export interface Broker {
  readonly failures: EngineErrors;
  readonly publisher: BrokerPublisher;
  createConsumer(group: ConsumerGroup): BrokerConsumer;
  /**
   * Counts the messages of one group, or of all groups. A count that a lost connection interrupted starts again, until the signal aborts: after an outage, the
   * broker does not have to answer callers that have given up.
   */
  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats>;
  /** Why there is no connection, as far as that is known. */
  lastError(): unknown;
  /** Says to the broker what is left to say, when nothing is out or on its way any more. */
  shutDown(): Promise<void>;
  /** Lets go of the connections at once. */
  close(): void;
}

/** How long `close()` takes at most to say shutDown to a broker that does not answer, in milliseconds. */
const SHUTDOWN_TIMEOUT = 5000;

/** What the backends of all brokers have in common: the contract, over a `Broker`. */
export abstract class BrokerBackend<Events extends EventMap<Events> = AnyEvents> implements QueueBackend<Events> {
  readonly #options: CheckedBrokerOptions;
  readonly #broker: Broker;
  readonly #consumers = new Map<ConsumerGroup, BrokerConsumer>();
  readonly #source: DeliverySource;
  #closed: Promise<void> | undefined;

  constructor(options: CheckedBrokerOptions, broker: Broker) {
    this.#options = options;
    this.#broker = broker;
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
      return this.#broker.publisher.publish(message);
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
    this.#checkOpen();
    return this.#inTime(async (signal) => {
      await Promise.all([...this.#consumers.values()].map((consumer) => consumer.settled()));
      return this.#broker.count(group, signal);
    });
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
    const { publisher } = this.#broker;
    const consumers = [...this.#consumers.values()];
    const shutDown = async () => {
      // A consumer may have something to publish yet: what goes back with a delay is a new message on some brokers.
      const ended = consumers.map((consumer) => consumer.close());
      await Promise.all(ended);
      await publisher.close();
      await this.#broker.shutDown();
    };
    await within(
      SHUTDOWN_TIMEOUT,
      // A broker that could not be told redelivers when leases expire. Publishes that are not confirmed reject below.
      shutDown().catch(() => {}),
    );
    publisher.abandon();
    for (const consumer of consumers) consumer.abandon();
    this.#broker.close();
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

  #consumerOf(group: ConsumerGroup): BrokerConsumer {
    const existing = this.#consumers.get(group);
    if (existing !== undefined) return existing;
    const consumer = this.#broker.createConsumer(group);
    this.#consumers.set(group, consumer);
    return consumer;
  }

  /** What a call answers, unless it takes longer than a publish may. Its signal aborts when it is given up. */
  async #inTime<Value>(call: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    const { publishTimeout } = this.#options;
    const { failures } = this.#broker;
    const late = () =>
      new ConnectionLostError(`${failures.broker} did not answer within ${publishTimeout} ms`, {
        cause: this.#broker.lastError(),
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
