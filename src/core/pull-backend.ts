import type { AnyEvents, ConsumerGroup, EventMap, QueueStats } from '../backend.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { writeMetadata } from '../internal/metadata.js';
import { Connection, type Link } from './connection.js';
import type { Driver, DriverAdministration, DriverConsumer } from './driver.js';
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
    this.failures = new EngineErrors(
      { engine, classify, explain: (error) => driver.explain?.(error) },
      { queue, server },
    );
    this.events = new QueueEvents({ queue, logger });
    this.#connection = new Connection<Link>({
      server: `${engine} at ${server}`,
      queue,
      connection: 'the queue',
      engine,
      logger,
      events: this.events,
      createLink: (lost) => ({ connect: () => driver.open(lost), destroy: () => {} }),
      connectTimeout: connectTimeoutFor(lease),
      lease,
      classify: this.failures.classify,
    });
    this.administration = driver.administration && this.#administrate(driver.administration);
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
        write: (message) => writeMessage(message, this.#ids, driver),
        sizeOf: ({ payload, metadata }) => payload.length + (metadata?.length ?? 0),
        send: (link, { messages, number }) => {
          const now = performance.now();
          const open = messages.filter(({ isOver }) => !isOver);
          const batch = open.map((pending) => ({ ...pending.parcel, delay: remainingDelay(pending, now) }));
          return this.#call(link, () => driver.publish(batch, number));
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
    this.#driver.destroy?.();
  }

  /** Sends each request when there is a connection, and again after a lost one. */
  #administrate({
    groups,
    deleteGroup,
    peek,
    purge,
    diagnose,
    deleteQueue,
  }: DriverAdministration): DriverAdministration {
    const request: Connection<Link>['request'] = (signal, send) => this.#connection.request(signal, send);
    return {
      groups: (signal) => request(signal, () => groups(signal)),
      deleteGroup: (group, signal) => request(signal, () => deleteGroup(group, signal)),
      peek: (group, limit, signal) => request(signal, () => peek(group, limit, signal)),
      purge: (group, signal) => request(signal, () => purge(group, signal)),
      ...(diagnose && { diagnose: (signal) => request(signal, () => diagnose(signal)) }),
      ...(deleteQueue && { deleteQueue: (signal) => request(signal, () => deleteQueue(signal)) }),
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

/** Encodes a message for a `PullDriver`. */
export function writeMessage(
  message: CheckedMessage,
  ids: MessageIds,
  { engine, maxPayload = Number.POSITIVE_INFINITY }: Pick<PullDriver, 'engine' | 'maxPayload'>,
): OutgoingMessage {
  const { key, payload, group, delay, id } = message;
  return {
    id: id ?? ids.next(),
    key,
    payload: writePayload(payload, maxPayload, engine),
    metadata: writeMetadata(message),
    publishedAt: Date.now(),
    group,
    delay,
    deduplicate: id !== undefined,
  };
}
