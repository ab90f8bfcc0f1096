import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { Connection } from '../core/connection.js';
import type { Driver, DriverAdministration, DriverConsumer } from '../core/driver.js';
import { ConnectionLostError, type EngineErrors } from '../core/engine-errors.js';
import { QueueEvents } from '../core/events.js';
import { GroupLoop } from '../core/group-loop.js';
import { PublishLoop } from '../core/publish-loop.js';
import type { UnreadGroups } from '../core/unread-group.js';
import { countMessages, deleteGroup, listGroups, peek, purge } from './administration.js';
import { diagnose } from './diagnosis.js';
import { GroupSession } from './group-session.js';
import { type QueueKeys, queueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { Listener } from './listener.js';
import type { CheckedRedisOptions } from './options.js';
import { type Parcel, Publisher } from './publisher.js';
import { isElsewhere } from './redis-errors.js';
import { Server } from './server.js';
import { Topology } from './topology.js';
import { unreadGroups } from './unread-groups.js';

/** A queue on Redis Streams. */
export class RedisDriver implements Driver {
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly publisher: PublishLoop<RedisLink, Parcel>;
  readonly administration: DriverAdministration;
  readonly #options: CheckedRedisOptions;
  readonly #keys: QueueKeys;
  readonly #server: Server;
  readonly #connection: Connection<RedisLink>;
  readonly #topology: Topology;
  readonly #unreadGroups: UnreadGroups<RedisLink>;
  readonly #consumers: GroupLoop<RedisLink>[] = [];

  constructor(options: CheckedRedisOptions) {
    this.#options = options;
    const {
      name: queueName,
      groups,
      groupsDeclared,
      create,
      lease,
      publishTimeout,
      maxPending,
      dedupeWindow,
      logger,
    } = options;
    const keys = queueKeys(queueName);
    this.#keys = keys;
    this.#unreadGroups = unreadGroups({ queueName, keys, declared: groups, lease, logger });
    this.#server = new Server(options);
    this.failures = this.#server.failures;
    const { failures } = this;
    const topology = new Topology({ keys, groups, groupsDeclared, create, failures });
    this.#topology = topology;
    this.events = new QueueEvents({ queue: queueName, logger });
    this.#connection = this.#server.connect(undefined, (link) => this.#prepare(link), this.events);
    const groupRule = { groups, declared: groupsDeclared };
    this.publisher = new PublishLoop({
      queueName,
      connection: this.#connection,
      publishTimeout,
      maxPending,
      failures,
      logger,
      events: this.events,
      driver: new Publisher({ keys, groupRule, topology, failures, publishTimeout, dedupeWindow }),
    });
    const diagnosed = { queueName, keys, lease, clients: 'url' in options.server ? ['redis'] : [] };
    this.administration = {
      groups: (signal) => this.#requestOf(undefined, signal, (link) => listGroups(link, keys, lease)),
      deleteGroup: (group, signal) => this.#requestOf(undefined, signal, (link) => deleteGroup(link, keys, group)),
      peek: (group, limit, signal) => this.#requestOf(group, signal, (link) => peek(link, keys, group, limit)),
      purge: (group, signal) => this.#requestOf(group, signal, (link) => purge(link, keys, group)),
      diagnose: (signal) => this.#requestOf(undefined, signal, (link) => diagnose(link, diagnosed)),
      deleteQueue: (signal) => this.#deleteQueue(signal),
    };
  }

  createConsumer(group: ConsumerGroup): DriverConsumer {
    const { name: queueName, lease, logger } = this.#options;
    const { failures, events } = this;
    const connection = this.#connection;
    const asker = { keys: this.#keys, group, consumer: consumerName(lease), lease };
    const listener = new Listener({
      ...asker,
      other: connection,
      connect: (prepare) => this.#server.connect(group, prepare, events),
    });
    const open = (link: RedisLink) => this.#topology.openGroup(link, group);
    const consumer = new GroupLoop({
      queueName,
      group,
      connection,
      failures,
      events,
      logger,
      lease,
      createSession: (host) => new GroupSession({ ...asker, queueName, host, listener, open, failures, logger }),
    });
    this.#consumers.push(consumer);
    return consumer;
  }

  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.#requestOf(group, signal, async (link) => {
      try {
        return await countMessages(link, this.#keys, group);
      } catch (error) {
        // Publishers and consumers would fail, too. The next request prepares a new link.
        if (this.failures.classify(error) === 'fatal') this.#connection.drop(error);
        throw error;
      }
    });
  }

  lastError(): unknown {
    const refused = this.#consumers.find(({ lastRefusal }) => lastRefusal !== undefined);
    return this.publisher.lastError ?? refused?.lastRefusal;
  }

  async shutDown(): Promise<void> {}

  close(): void {
    this.#connection.close();
  }

  async #prepare(link: RedisLink): Promise<void> {
    await Promise.all([this.#server.checkVersion(link), this.#server.readIdleTimeout(link)]);
    await this.#topology.prepare(link);
    // The connection is ready without it.
    void this.#unreadGroups.look(link);
  }

  async #deleteQueue(signal: AbortSignal): Promise<void> {
    // A consumer would create its group again.
    await Promise.all(this.#consumers.map((consumer) => consumer.close()));
    try {
      await this.#topology.whileDeleting(() => this.#request(signal, (link) => this.#topology.delete(link, signal)));
    } catch (error) {
      // The next link is prepared again: the groups may be missing.
      this.#connection.drop(error);
      throw error;
    }
  }

  /** Sends a request for a queue that exists, and for a group of it. */
  #requestOf<Value>(
    group: ConsumerGroup | undefined,
    signal: AbortSignal,
    send: (link: RedisLink) => Promise<Value>,
  ): Promise<Value> {
    return this.#request(signal, async (link) => {
      if (!this.#topology.mayCreate) await this.#topology.check(link, group);
      return send(link);
    });
  }

  /** Sends a request, and again if the link is lost or another server has the queue. */
  #request<Value>(signal: AbortSignal, send: (link: RedisLink) => Promise<Value>): Promise<Value> {
    return this.#connection.request(signal, async (link) => {
      try {
        return await send(link);
      } catch (error) {
        if (isElsewhere(error)) throw new ConnectionLostError('Another server has the queue', { cause: error });
        throw error;
      }
    });
  }
}

/** Names a consumer, for operators. The exchange script reads the lease after the tilde. */
function consumerName(lease: number): string {
  return `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}~${Math.ceil(lease)}`;
}
