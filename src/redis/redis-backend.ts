import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
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
import { consumeDeliveries, createDeliveryStream, type DeliverySource, type Intake } from '../bridge/delivery-stream.js';
import { QueueClosedError } from '../errors.js';
import { asyncDispose } from '../internal/async-dispose.js';
import { checkMessage } from '../internal/check-message.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkName, checkOptions } from '../internal/options.js';
import type { Connection } from './connection.js';
import { ConnectionLostError, outlookOf, unavailable } from './failures.js';
import { GroupConsumer } from './group-consumer.js';
import { type QueueKeys, queueKeys } from './keys.js';
import { Listener } from './listener.js';
import { type CheckedRedisOptions, checkRedisOptions, type RedisBackendOptions, readRedisEnv } from './options.js';
import { writePayload } from './payload.js';
import { Publisher } from './publisher.js';
import { openScript, statsScript } from './scripts/index.js';
import { Server } from './server.js';

export interface RedisFromEnvOptions {
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

/** How long `close()` takes at most to say goodbye to a server that does not answer, in milliseconds. */
const LONGEST_GOODBYE = 5000;

/**
 * A queue on Redis Streams, for Redis 6.2 and newer: at least once, for any number of processes.
 *
 * *When to use*: in production, where there is a Redis that keeps what it has confirmed: `appendonly yes`, and `appendfsync always` where not one confirmed
 * message may be lost when its machine fails.
 *
 * *Gotchas*: a message stays until every group that exists has settled it, so a group that nobody consumes for fills the server. Without `groups` there is
 * the group `default`. A handler that blocks the event loop for longer than `lease` loses its messages to another consumer.
 *
 * Connects with the first publish or the first subscriber, and heals a lost connection by itself: consumers go on, publishes wait for `publishTimeout`.
 *
 * @example
 * ```ts
 * const queue = new RedisBackend({ url: 'redis://localhost:6379', name: 'orders' });
 * await queue.publish('order.placed', { id: 1 });
 * for await (const delivery of queue.deliveries()) console.log(delivery.payload);
 * ```
 */
export class RedisBackend<Events extends EventMap<Events> = AnyEvents> implements QueueBackend<Events> {
  readonly #options: CheckedRedisOptions;
  readonly #keys: QueueKeys;
  readonly #server: Server;
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #consumers = new Map<ConsumerGroup, GroupConsumer>();
  readonly #source: DeliverySource;
  #closed: Promise<void> | undefined;

  /**
   * Does not connect yet.
   * @throws {TypeError | RangeError} for an option without sense; it names the option
   */
  constructor(options: RedisBackendOptions) {
    this.#options = checkRedisOptions(options);
    const { name, groups, lease, publishTimeout, logger, server } = this.#options;
    this.#keys = queueKeys(name);
    this.#server = new Server(server, { queue: name, lease, logger });
    this.#connection = this.#server.connect('the queue', (connection) => this.#prepare(connection));
    const explain = (error: unknown) => unavailable(error, { where: this.#server.where, queue: name });
    this.#publisher = new Publisher({ queueName: name, keys: this.#keys, groups, connection: this.#connection, publishTimeout, explain });
    this.#source = {
      connect: (subscriber, intake) => this.#connect(subscriber, intake),
      waitCancelled: (count) => logger.debug(`A consumer of queue "${name}" left while ${count} of its calls waited for a message`),
    };
  }

  /**
   * The queue that the environment names: `REDIS_URL`, and optionally `QUEUE_NAME` (default: `default`), `QUEUE_GROUPS` (a list with commas; default:
   * `default`), `QUEUE_LEASE` and `QUEUE_PUBLISH_TIMEOUT` (milliseconds; default: 30,000 and 10,000).
   * @throws {ConfigurationError} for a missing or malformed variable; it names the variable
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(env: Env = processEnv(), options?: RedisFromEnvOptions): RedisBackend<Events> {
    return new RedisBackend({ ...readRedisEnv(env), logger: checkOptions(options).logger });
  }

  get name(): string {
    return this.#options.name;
  }

  /**
   * Sends a message. Resolves when Redis has confirmed it; what is published in one turn travels together. A message that was sent when the connection was lost
   * is sent again, and stored once.
   * @throws {InvalidMessageError} (a rejection, as all of these) for a bad key or header, a payload that JSON would change, or one beyond 512 MB
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} when it was not confirmed within `publishTimeout`, or Redis refuses; the message says whether it may have been enqueued
   * @throws `signal.reason` when the signal aborted before it was sent
   */
  publish(...message: PublishArguments<Events>): Promise<void>;
  async publish(key: QueueKey, payload: QueuePayload, options?: PublishOptions): Promise<void> {
    const { payload: copy, headers, delay, signal } = checkMessage(key, payload, options);
    const parcel = { key, payload: writePayload(copy), headers: Object.keys(headers).length === 0 ? '' : JSON.stringify(headers), delay, signal };
    if (this.#closed !== undefined) throw new QueueClosedError(`Queue "${this.name}" is closed`);
    return this.#publisher.publish(parcel);
  }

  /**
   * Payloads, one after the other: at most once. A payload is acknowledged when the loop comes back for the next one, or leaves, even by a throw.
   * @throws {TypeError | RangeError} for an option without sense
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable {
    return consumeDeliveries(this.#source, checkConsumeOptions(options)) as AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable;
  }

  /**
   * Messages on loan, to be settled by whoever holds them: at least once. Fails with a `BackendUnavailableError` where no second attempt would mend it, as
   * with a wrong password; a connection that is lost is no failure.
   * @throws {TypeError | RangeError} for an option without sense
   */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events> {
    return createDeliveryStream(this.#source, checkConsumeOptions(options));
  }

  /**
   * Counts, at this moment, after everything that was settled here before: of one group, or over all.
   * @throws {QueueClosedError} (a rejection) after `close()`
   * @throws {BackendUnavailableError} when Redis does not answer within `publishTimeout`
   */
  async stats(options?: StatsOptions): Promise<QueueStats> {
    const { group } = checkOptions(options);
    if (group !== undefined) checkName('group', group);
    if (this.#closed !== undefined) throw new QueueClosedError(`Queue "${this.name}" is closed`);
    const [ready, unfinished] = await this.#inTime(async () => {
      await Promise.all([...this.#consumers.values()].map((consumer) => consumer.settled()));
      return this.#count(group);
    });
    return { ready, unfinished };
  }

  /**
   * Ends the queue for this process: streams end, what is out goes back, what was published before is still confirmed; then the connections are closed. Waits for
   * nobody's handler, and for a server that does not answer no longer than five seconds. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const consumers = [...this.#consumers.values()];
    const goodbye = Promise.all([this.#publisher.close(), ...consumers.map((consumer) => consumer.close())]);
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise((resolve) => {
      timer = setTimeout(resolve, LONGEST_GOODBYE);
    });
    await Promise.race([goodbye, enough]);
    clearTimeout(timer);
    this.#publisher.abandon();
    for (const consumer of consumers) consumer.abandon();
    this.#connection.close();
  }

  #connect(subscriber: Subscriber<Delivery>, intake: Intake): void {
    if (this.#closed !== undefined || intake.signal?.aborted) {
      subscriber.complete();
      return;
    }
    this.#consumerOf(intake.group).connect(subscriber, intake);
  }

  #consumerOf(group: ConsumerGroup): GroupConsumer {
    const existing = this.#consumers.get(group);
    if (existing !== undefined) return existing;
    const { name, lease, logger } = this.#options;
    const asker = { keys: this.#keys, group, consumer: consumerName(lease), lease };
    const consumer = new GroupConsumer({
      ...asker,
      queueName: name,
      connection: this.#connection,
      listener: new Listener({ ...asker, other: this.#connection, connect: (prepare) => this.#server.connect(`group "${group}"`, prepare) }),
      open: () => this.#open(this.#connection, [...this.#options.groups, group]),
      explain: (error) => unavailable(error, { where: this.#server.where, queue: name }),
      logger,
    });
    this.#consumers.set(group, consumer);
    return consumer;
  }

  /** To ask again changes nothing, so a lost connection is no reason to fail. */
  async #count(group: ConsumerGroup | undefined): Promise<[ready: number, unfinished: number]> {
    const { stream, delayed, ofGroups } = this.#keys;
    for (;;) {
      await this.#connection.ready();
      try {
        const counts = await this.#connection.run(statsScript, [stream, delayed], [ofGroups, ...(group === undefined ? [] : [group])]);
        return counts as [ready: number, unfinished: number];
      } catch (error) {
        if (this.#closed !== undefined || outlookOf(error) !== 'lost') throw error;
      }
    }
  }

  /** The groups that were declared exist before anything is published. */
  async #prepare(connection: Connection): Promise<void> {
    await this.#server.checkVersion(connection);
    await this.#open(connection, this.#options.groups);
  }

  async #open(connection: Connection, groups: readonly ConsumerGroup[]): Promise<void> {
    await connection.run(openScript, [this.#keys.stream, this.#keys.bell], groups);
  }

  /** What a call answers, unless it takes longer than a publish may. */
  async #inTime<Value>(call: () => Promise<Value>): Promise<Value> {
    const { publishTimeout, name } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new ConnectionLostError(`Redis did not answer within ${publishTimeout} ms`, { cause: this.#connection.trouble })),
        publishTimeout,
      );
    });
    try {
      return await Promise.race([call(), late]);
    } catch (error) {
      throw unavailable(error, { where: this.#server.where, queue: name });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Names a consumer, for people who look and for the script that sees to dead ones: it reads the lease behind the tilde. */
function consumerName(lease: number): string {
  return `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}~${Math.ceil(lease)}`;
}
