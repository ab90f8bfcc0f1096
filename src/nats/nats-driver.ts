import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerGroup, GroupInfo, MessageView, QueueDiagnosis, QueueStats } from '../backend.js';
import type { Connection } from '../core/connection.js';
import type { Driver, DriverAdministration, DriverConsumer } from '../core/driver.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { QueueEvents } from '../core/events.js';
import { GroupLoop } from '../core/group-loop.js';
import { PublishLoop } from '../core/publish-loop.js';
import type { UnreadGroups } from '../core/unread-group.js';
import { Counts } from './counts.js';
import { diagnose } from './diagnosis.js';
import { NatsSession } from './group-session.js';
import type { NatsLink } from './link.js';
import { Mover } from './mover.js';
import { type QueueNames, queueNames } from './names.js';
import { isNotFound } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';
import { peek } from './peek.js';
import { type Parcel, Publisher } from './publisher.js';
import { Purge } from './purge.js';
import type { NatsQueue } from './queue.js';
import { Removals } from './removals.js';
import { Server } from './server.js';
import { Sweeper } from './sweeper.js';
import { DELETION, Topology } from './topology.js';
import { unreadGroups } from './unread-groups.js';

/**
 * How many bytes may be in transit to all groups of this process. On a slow link, a message and
 * those before it must arrive within its lease. By default, the server drops a connection that
 * takes no bytes for ten seconds, or for which 64 MB wait.
 */
const BYTES_IN_TRANSIT = 1024 * 1024;

export class NatsDriver implements Driver, DriverAdministration, NatsQueue {
  readonly options: CheckedNatsOptions;
  readonly names: QueueNames;
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly connection: Connection<NatsLink>;
  readonly topology: Topology;
  readonly publisher: PublishLoop<NatsLink, Parcel>;
  readonly #publisher: Publisher;
  readonly #mover: Mover;
  readonly #removals: Removals;
  readonly #sweeper: Sweeper;
  readonly #counts: Counts;
  readonly #unread: UnreadGroups<NatsLink>;
  /** By consumer. */
  readonly #sessions = new Map<string, NatsSession>();
  readonly #closing = new AbortController();
  /** Whether the link was made for the deletion of the queue. */
  #isUnopened = false;

  constructor(options: CheckedNatsOptions) {
    const { name, publishTimeout, maxPending, logger } = options;
    this.options = options;
    this.names = queueNames(name);
    const server = new Server(options);
    this.failures = server.failures;
    this.events = new QueueEvents({ queue: name, logger });
    this.connection = server.connect(this.events, (link) => this.#prepare(link));
    this.topology = new Topology(
      { ...options, failures: this.failures, needed: () => this.#needed(), beforeNew: (link) => this.#beforeNew(link) },
      this.names,
    );
    this.#mover = new Mover(this);
    this.#removals = new Removals(this);
    this.#sweeper = new Sweeper(this, this.#removals, (created) => {
      for (const session of this.#sessions.values()) session.recreated(created);
    });
    this.#counts = new Counts(this, {
      sweeper: this.#sweeper,
      mover: this.#mover,
      sessions: this.#sessions,
      known: () => new Set([...this.topology.groups, ...(this.topology.creates ? this.#needed() : [])]),
    });
    const declared = new Set(options.groups.map(this.names.consumer));
    this.#unread = unreadGroups(this, {
      counts: this.#counts,
      isKnown: (consumer) => declared.has(consumer) || this.#sessions.has(consumer),
      signal: this.#closing.signal,
    });
    this.#publisher = new Publisher(this, () => this.#mover.start());
    this.publisher = new PublishLoop({
      queueName: name,
      connection: this.connection,
      publishTimeout,
      maxPending,
      failures: this.failures,
      logger,
      events: this.events,
      driver: this.#publisher,
      lastError: (known) => known ?? this.connection.link?.refusal,
    });
    this.#publisher.loop = this.publisher;
  }

  get administration(): DriverAdministration {
    return this;
  }

  createConsumer(group: ConsumerGroup): DriverConsumer {
    const { name, lease, logger } = this.options;
    return new GroupLoop({
      queueName: name,
      group,
      connection: this.connection,
      failures: this.failures,
      events: this.events,
      logger,
      lease,
      // Publishers and the other groups use the same link.
      dropsLink: false,
      createSession: (host) => {
        const session = new NatsSession(host, this, {
          group,
          share: () => BYTES_IN_TRANSIT / Math.max(1, this.#consumed().length),
          sweeper: this.#sweeper,
          mover: this.#mover,
        });
        this.#sessions.set(this.names.consumer(group), session);
        return session;
      },
    });
  }

  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.#request(signal, async (link) => {
      if (group === undefined) return this.#counts.all(link);
      await this.topology.expectGroup(link, group);
      return this.#counts.group(link, group);
    });
  }

  groups(signal: AbortSignal): Promise<Omit<GroupInfo, 'declared'>[]> {
    return this.#request(signal, (link) => this.#counts.groups(link));
  }

  deleteGroup(group: ConsumerGroup, signal: AbortSignal): Promise<boolean> {
    return this.#request(signal, async (link) => {
      await this.topology.expectQueue(link);
      return this.#purge(link).deleteGroup(group);
    });
  }

  peek(group: ConsumerGroup, limit: number, signal: AbortSignal): Promise<MessageView[]> {
    const consumer = this.names.consumer(group);
    const moved = () => this.#mover.moved();
    return this.#request(signal, async (link) => {
      await this.topology.expectGroup(link, group);
      return peek(link, { names: this.names, consumer, session: this.#sessions.get(consumer), limit, moved });
    });
  }

  async purge(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<number> {
    let removed = 0;
    const onRemoved = (count: number) => {
      removed += count;
    };
    await this.#request(signal, async (link) => {
      if (group !== undefined) await this.topology.expectGroup(link, group);
      await this.#purge(link, onRemoved).run(group);
    });
    return removed;
  }

  diagnose(signal: AbortSignal): Promise<QueueDiagnosis> {
    const isUsed = (consumer: string) => this.#sessions.get(consumer)?.isNeeded === true;
    const { groups, groupsDeclared } = this.options;
    const declared = new Set(groupsDeclared ? groups.map((group) => this.names.consumer(group)) : []);
    const isDeclared = (consumer: string) => declared.has(consumer);
    return this.#request(signal, (link) => diagnose(link, { ...this.options, names: this.names, isUsed, isDeclared }));
  }

  /**
   * Deletes the streams with their consumers. Resolves when the server has removed their files, so
   * that the queue can be created again.
   */
  async deleteQueue(signal: AbortSignal): Promise<void> {
    const { stream, delayedStream, quarantine } = this.names;
    let existed = false;
    this.topology.isDeleting = true;
    try {
      // The consumers of this process lose the first stream last: then the queue closes.
      for (const name of [quarantine, delayedStream, stream])
        existed = (await this.connection.request(signal, (link) => deleteStream(link, name))) || existed;
    } catch (error) {
      this.topology.isDeleting = false;
      // Nothing was opened over it.
      if (this.#isUnopened) this.connection.drop(error);
      throw error;
    }
    // The connection keeps the process alive as long as the queue is open.
    if (existed) await sleep(Math.min(DELETION, this.options.publishTimeout / 2), undefined, { ref: false });
  }

  #purge(link: NatsLink, onRemoved?: (count: number) => void): Purge {
    const parts = { mover: this.#mover, removals: this.#removals, sweeper: this.#sweeper, sessions: this.#sessions };
    return new Purge(this, parts, link, onRemoved);
  }

  lastError(): unknown {
    return this.publisher.lastError;
  }

  async shutDown(): Promise<void> {
    await this.#mover.leave();
    await this.#sweeper.close();
    // Sends the last settlements. If this fails, the leases expire.
    if (this.connection.isReady) await this.connection.link?.flush().catch(() => {});
  }

  close(): void {
    this.#closing.abort();
    this.#publisher.stop();
    this.#mover.close();
    this.#sweeper.stop();
    this.connection.close();
  }

  #request<Value>(signal: AbortSignal, send: (link: NatsLink) => Promise<Value>): Promise<Value> {
    return this.connection.request(signal, async (link) => {
      for (;;) {
        try {
          return await send(link);
        } catch (error) {
          if (this.#closing.signal.aborted || !isNotFound(error)) throw error;
        }
        await this.topology.open(link);
      }
    });
  }

  /** The declared groups exist before anything is published. */
  async #prepare(link: NatsLink): Promise<void> {
    this.#isUnopened = this.topology.isDeleting;
    if (this.#isUnopened) return;
    await this.topology.open(link);
    const { messages } = await this.#counts.delayed(link);
    this.#mover.reconnected(messages > 0);
    void this.#unread.look(link);
  }

  #needed(): ConsumerGroup[] {
    return [...this.#consumed(), ...this.#publisher.addressed];
  }

  #consumed(): ConsumerGroup[] {
    return [...this.#sessions.values()].filter(({ isNeeded }) => isNeeded).map(({ group }) => group);
  }

  /** A new group starts without the messages that all other groups have settled. */
  async #beforeNew(link: NatsLink): Promise<void> {
    await this.#sweeper.sweep();
    await this.#removals.awaitOthers(link);
  }
}

/** Resolves to whether the stream existed. */
async function deleteStream({ manager }: NatsLink, name: string): Promise<boolean> {
  try {
    return await manager.streams.delete(name);
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
