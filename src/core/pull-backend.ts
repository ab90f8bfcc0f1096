import type { AnyEvents, ConsumerGroup, EventMap, QueueStats } from '../backend.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { writeMetadata } from '../internal/metadata.js';
import { Connection, type Link } from './connection.js';
import type { Driver, DriverConsumer } from './driver.js';
import { DriverBackend } from './driver-backend.js';
import { EngineErrors } from './engine-errors.js';
import { writePayload } from './envelope.js';
import { QueueEvents } from './events.js';
import { GroupLoop } from './group-loop.js';
import { MessageIds } from './message-ids.js';
import { type CheckedDriverOptions, checkDriverOptions, connectTimeoutFor, type DriverOptions } from './options.js';
import { remainingDelay } from './outbox.js';
import { PublishLoop } from './publish-loop.js';
import type { OutgoingMessage, PullDriver } from './pull-driver.js';
import { PullSession } from './pull-session.js';

/** The limits of one call of `publish`: messages, and characters of their payloads and metadata. */
const MAX_BATCH = { messages: 256, size: 1_000_000 };

/**
 * Runs a `PullDriver` as a backend. A backend of your own extends this class.
 *
 * *When to use*: for a store that consumers poll, such as a table in a database. The guide "Writing
 * a backend" has a complete one.
 */
export class PullBackend<Events extends EventMap<Events> = AnyEvents> extends DriverBackend<Events> {
  /** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
  constructor(driver: PullDriver, options: DriverOptions = {}) {
    const checked = checkDriverOptions(options);
    super(checked, new PullEngine(driver, checked));
  }
}

/** Runs a `PullDriver` in the loops of the core. */
class PullEngine implements Driver {
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly publisher: PublishLoop<Link, OutgoingMessage>;
  readonly administration: Driver['administration'];
  readonly #driver: PullDriver;
  readonly #options: CheckedDriverOptions;
  readonly #connection: Connection<Link>;
  readonly #ids = new MessageIds();

  constructor(driver: PullDriver, options: CheckedDriverOptions) {
    this.#driver = driver;
    this.#options = options;
    const { name: queue, lease, logger, publishTimeout, maxPending } = options;
    const { engine, server = 'the server' } = driver;
    const classify = (error: unknown) => driver.classify?.(error) ?? 'retryable';
    this.failures = new EngineErrors({ engine, classify, explain: () => undefined }, { queue, server });
    this.events = new QueueEvents({ queue, logger });
    this.administration = driver.administration;
    this.#connection = new Connection<Link>({
      server: `${engine} at ${server}`,
      queue,
      connection: 'the queue',
      engine,
      logger,
      events: this.events,
      createLink: () => ({ connect: () => driver.open(), destroy: () => {} }),
      connectTimeout: connectTimeoutFor(lease),
      lease,
      classify: this.failures.classify,
    });
    this.publisher = new PublishLoop({
      queueName: queue,
      connection: this.#connection,
      publishTimeout,
      maxPending,
      failures: this.failures,
      logger,
      events: this.events,
      driver: {
        mode: 'batch',
        window: MAX_BATCH,
        write: (message) => this.#write(message),
        sizeOf: ({ payload, metadata }) => payload.length + (metadata?.length ?? 0),
        send: (link, { messages }) => {
          const now = performance.now();
          const open = messages.filter(({ isOver }) => !isOver);
          const batch = open.map((pending) => ({ ...pending.parcel, delay: remainingDelay(pending, now) }));
          return this.#call(link, () => driver.publish(batch));
        },
      },
    });
  }

  createConsumer(group: ConsumerGroup): DriverConsumer {
    const { name: queue, lease, logger } = this.#options;
    const { failures, events } = this;
    return new GroupLoop<Link>({
      queueName: queue,
      group,
      connection: this.#connection,
      failures,
      events,
      logger,
      lease,
      createSession: (host) =>
        new PullSession(this.#driver, host, { queueName: queue, group, lease, call: this.#call }),
    });
  }

  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.#connection.request(signal, () => this.#driver.count(group));
  }

  lastError(): unknown {
    return this.#connection.lastError;
  }

  async shutDown(): Promise<void> {
    await this.#driver.close?.();
  }

  close(): void {
    this.#connection.close();
  }

  #write(message: CheckedMessage): OutgoingMessage {
    const { key, payload, group, delay, id } = message;
    const { engine, maxPayload = Number.POSITIVE_INFINITY } = this.#driver;
    return {
      id: id ?? this.#ids.next(),
      key,
      payload: writePayload(payload, maxPayload, engine),
      metadata: writeMetadata(message),
      publishedAt: Date.now(),
      group,
      delay,
      deduplicate: id !== undefined,
    };
  }

  /** Drops the link when a call fails with a retryable error. */
  readonly #call = async <Value>(link: Link, call: () => Promise<Value>): Promise<Value> => {
    try {
      return await call();
    } catch (error) {
      if (this.failures.classify(error) === 'retryable') this.#connection.lose(link, error);
      throw error;
    }
  };
}
