import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { Connection } from '../core/connection.js';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { Driver } from '../core/driver.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { QueueEvents } from '../core/events.js';
import { OwnReleases } from '../core/own-releases.js';
import { Administration, type Ask } from './administration.js';
import { Consuming } from './consuming.js';
import { Counts } from './counts.js';
import { DelayedMessages } from './delayed-messages.js';
import { DoneWith } from './done-with.js';
import { GroupConsumer } from './group-consumer.js';
import { GroupLog } from './group-log.js';
import type { RabbitLink } from './link.js';
import { type QueueNames, queueNames } from './names.js';
import type { CheckedRabbitMqOptions } from './options.js';
import { Publisher } from './publisher.js';
import { Server } from './server.js';
import { Topology } from './topology.js';
import { type GroupCounts, totalOf } from './totals.js';
import { UnreadDefault } from './unread-default.js';

/** A requeued message is in transit for a moment only, in which the broker does not count it. */
const RETURNING = { most: 1024, lateness: 1000 };

/** A queue on RabbitMQ: an exchange, and a quorum queue for each group. */
export class RabbitMqDriver implements Driver {
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly publisher: Publisher;
  readonly administration: Administration;
  readonly #options: CheckedRabbitMqOptions;
  readonly #names: QueueNames;
  readonly #topology: Topology;
  readonly #server: Server;
  readonly #delayed: DelayedMessages;
  /**
   * Apart from publishing: the broker reads nothing over a connection that it has blocked, no
   * settlements either.
   */
  readonly #consuming: Consuming;
  readonly #consumers = new Map<ConsumerGroup, GroupConsumer>();
  #closed = false;

  constructor(options: CheckedRabbitMqOptions) {
    this.#options = options;
    const { name, groups, publishTimeout, maxPending, logger } = options;
    this.#names = queueNames(name);
    this.events = new QueueEvents({ queue: name, logger });
    const server = new Server(options, this.events);
    this.#server = server;
    this.#delayed = DelayedMessages.of(server.id, this.#names.exchange);
    for (const group of groups) this.#delayed.addGroup(group);
    this.#topology = new Topology({ queueName: name, names: this.#names, serverId: server.id, logger }, groups);
    this.failures = server.failures;
    const unread = new UnreadDefault({
      queueName: name,
      names: this.#names,
      groups,
      vhost: server.vhost,
      classify: server.failures.classify,
      logger,
    });
    this.#consuming = new Consuming(() => {
      let isFirst = true;
      const prepare = async (link: RabbitLink) => {
        if (!isFirst) this.#delayed.disturbed();
        isFirst = false;
        await this.#topology.prepare(link);
        void unread.look(link);
      };
      return server.connect({ purpose: 'consuming', prepare });
    });
    this.publisher = new Publisher({
      queueName: name,
      names: this.#names,
      groups,
      server,
      publishTimeout,
      maxPending,
      delayed: this.#delayed,
      events: this.events,
      logger,
      onDeclared: (link) => void unread.look(link),
    });
    this.administration = new Administration({
      queueName: name,
      names: this.#names,
      groups,
      delayed: this.#delayed,
      consumerOf: (group) => this.#consumers.get(group),
      ask: this.#ask,
      count: (group, signal) => this.count(group, signal),
    });
  }

  createConsumer(group: ConsumerGroup): GroupConsumer {
    const { name, logger } = this.#options;
    const consumer = new GroupConsumer({
      queueName: name,
      group,
      names: this.#names,
      consuming: this.#consuming,
      topology: this.#topology,
      publisher: this.publisher,
      delayed: this.#delayed,
      failures: this.failures,
      events: this.events,
      logger,
      log: new GroupLog(logger, name, group),
      done: new DoneWith(),
      released: new OwnReleases(),
      returning: new DelayedInTransit(RETURNING),
    });
    this.#consumers.set(group, consumer);
    return consumer;
  }

  /**
   * Counts waiting messages, and those in flight in this process. AMQP does not tell what other
   * processes hold.
   */
  async count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.#ask(signal, async (link) => {
      const counts = new Counts(link, signal);
      const all = group === undefined ? this.#options.groups : [group];
      const known = new Map<ConsumerGroup, { readonly consumers: number; readonly ids: Set<string> }>();
      for (const one of all) {
        const consumers = await counts.consumers(this.#names.group(one).queue);
        known.set(one, { consumers, ids: new Set(this.#idsOf(one, consumers)) });
      }
      const each: GroupCounts[] = [];
      const unfinished = new Set<string>();
      const delayed = await counts.delayed(this.#names.delay);
      for (const [one, { consumers, ids }] of known) {
        const { all, only } = await this.#countGroup(counts, one);
        for (const id of this.#idsOf(one, consumers)) ids.add(id);
        for (const id of ids) unfinished.add(id);
        each.push({ all: { ready: all.ready, unfinished: Math.max(all.unfinished + delayed, ids.size) }, only });
      }
      await counts.close();
      const total = totalOf(each);
      return { ready: total.ready, unfinished: Math.max(total.unfinished, unfinished.size) };
    });
  }

  readonly #ask: Ask = (signal, ask) =>
    this.#consuming.ask(signal, (error) => (this.#closed ? 'fatal' : this.failures.classify(error)), ask);

  lastError(): unknown {
    return this.publisher.lastError ?? this.#consuming.connections[0].lastError;
  }

  async shutDown(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#connections.map(async ({ isReady, link }) => isReady && link?.shutDown()));
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#connections) connection.close();
    this.#server.release();
    this.#delayed.release();
  }

  get #connections(): readonly Connection<RabbitLink>[] {
    return [...this.#consuming.connections, this.publisher.connection];
  }

  /**
   * Returns the ids of unfinished messages that may be in transit from one queue to another, where
   * the broker does not count them.
   */
  #idsOf(group: ConsumerGroup, consumers: number): string[] {
    return [...(this.#consumers.get(group)?.ids ?? []), ...this.#delayed.ids(group, consumers)];
  }

  /**
   * Counts the messages of a group, without the delayed ones for every group. It asks in the order
   * in which messages move: one that moves meanwhile is counted twice rather than not at all.
   */
  async #countGroup(counts: Counts, group: ConsumerGroup): Promise<GroupCounts> {
    const { queue, again, delay, publishDelay } = this.#names.group(group);
    const published = await counts.delayed(publishDelay);
    const delayed = await counts.delayed(delay);
    const waiting = ((await counts.waiting(again)) ?? 0) + ((await counts.waiting(queue)) ?? 0);
    // A message that was delivered before it could be counted has arrived by then.
    await this.#consumers.get(group)?.arrived();
    const { held, buffered } = this.#consumers.get(group) ?? { held: 0, buffered: 0 };
    const late = this.#delayed.countLate(group);
    const ready = waiting + buffered;
    const come = ready + held + delayed + late;
    const { oneGroup } = this.#delayed;
    return {
      all: { ready, unfinished: come + published },
      only: { ready: oneGroup.countAmong(group, ready), unfinished: oneGroup.countAmong(group, come) + published },
    };
  }
}
