import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { Driver, DriverConsumer } from '../core/driver.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { FatalErrors } from '../core/fatal-errors.js';
import { Refusals } from '../core/refusals.js';
import type { Connection } from './connection.js';
import { GroupConsumer } from './group-consumer.js';
import { type QueueKeys, queueKeys } from './keys.js';
import { Listener } from './listener.js';
import type { CheckedRedisOptions } from './options.js';
import { Publisher } from './publisher.js';
import { isElsewhere } from './redis-errors.js';
import { openScript, statsScript } from './scripts/index.js';
import { Server } from './server.js';
import { UnreadGroups } from './unread-groups.js';

/** A queue on Redis Streams. */
export class RedisDriver implements Driver {
  readonly failures: EngineErrors;
  readonly publisher: Publisher;
  readonly #options: CheckedRedisOptions;
  readonly #keys: QueueKeys;
  readonly #server: Server;
  readonly #connection: Connection;
  readonly #unreadGroups: UnreadGroups;
  readonly #refusals: Refusals[] = [];
  #closed = false;

  constructor(options: CheckedRedisOptions) {
    this.#options = options;
    const { name, groups, groupsDeclared, lease, publishTimeout, maxPending, dedupeWindow, logger } = options;
    this.#keys = queueKeys(name);
    this.#unreadGroups = new UnreadGroups({ queueName: name, keys: this.#keys, declared: groups, lease, logger });
    this.#server = new Server(options);
    this.failures = this.#server.failures;
    this.#connection = this.#server.connect(undefined, (connection) => this.#prepare(connection));
    const { failures } = this;
    const refusals = this.#newRefusals(`publishes to queue ${JSON.stringify(name)}`);
    const publishing = { connection: this.#connection, publishTimeout, maxPending, dedupeWindow, failures, refusals };
    this.publisher = new Publisher({
      queueName: name,
      keys: this.#keys,
      groupRule: { groups, declared: groupsDeclared },
      ...publishing,
    });
  }

  createConsumer(group: ConsumerGroup): DriverConsumer {
    const { name, lease, logger } = this.#options;
    const asker = { keys: this.#keys, group, consumer: consumerName(lease), lease };
    return new GroupConsumer({
      ...asker,
      queueName: name,
      connection: this.#connection,
      listener: new Listener({
        ...asker,
        other: this.#connection,
        connect: (prepare) => this.#server.connect(group, prepare),
      }),
      open: () => this.#open(this.#connection, [...this.#declared, group]),
      failures: this.failures,
      refusals: this.#newRefusals(`requests of group ${JSON.stringify(group)} of queue ${JSON.stringify(name)}`, group),
      fatalErrors: new FatalErrors({ queue: name, group, logger }),
      logger,
    });
  }

  async count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    const { stream, delayed, settled, addressed, groupPrefix } = this.#keys;
    for (;;) {
      await this.#connection.ready(signal);
      try {
        const ofGroup = group === undefined ? [] : [group];
        const counts = await this.#connection.run(
          statsScript,
          [stream, delayed, settled, addressed],
          [groupPrefix, ...ofGroup],
        );
        const [ready, unfinished] = counts as [ready: number, unfinished: number];
        return { ready, unfinished };
      } catch (error) {
        const kind = this.failures.classify(error);
        if (kind === 'fatal') this.#connection.drop(error);
        if (this.#closed || !(kind === 'retryable' || isElsewhere(error))) throw error;
      }
    }
  }

  lastError(): unknown {
    return this.#connection.lastError ?? this.#refusals.find(({ last }) => last !== undefined)?.last;
  }

  async shutDown(): Promise<void> {}

  close(): void {
    this.#closed = true;
    this.#connection.close();
  }

  /** Without a declaration, `default` exists if a consumer joins it or the queue has no other group: a group without a consumer retains every message. */
  get #declared(): readonly ConsumerGroup[] {
    return this.#options.groupsDeclared ? this.#options.groups : [];
  }

  /** The groups that were declared exist before anything is published. */
  async #prepare(connection: Connection): Promise<void> {
    await Promise.all([this.#server.checkVersion(connection), this.#server.readIdleTimeout(connection)]);
    await this.#open(connection, this.#options.groups, !this.#options.groupsDeclared);
    // The connection is ready without it.
    void this.#unreadGroups.look(connection);
  }

  #newRefusals(requests: string, group?: ConsumerGroup): Refusals {
    const { name: queue, logger } = this.#options;
    const refusals = new Refusals({ broker: this.failures.broker, queue, group, requests, logger });
    this.#refusals.push(refusals);
    return refusals;
  }

  /** @param onlyFirst creates none where the queue has another group */
  async #open(connection: Connection, groups: readonly ConsumerGroup[], onlyFirst = false): Promise<void> {
    const { stream, wakeStream, settled, addressed } = this.#keys;
    await connection.run(openScript, [stream, wakeStream, settled, addressed], [onlyFirst ? '1' : '0', ...groups]);
  }
}

/** Names a consumer, for people who look and for the script that sees to dead ones: it reads the lease behind the tilde. */
function consumerName(lease: number): string {
  return `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}~${Math.ceil(lease)}`;
}
