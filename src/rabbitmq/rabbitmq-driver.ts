import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { Connection } from '../core/connection.js';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { Driver } from '../core/driver.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { QueueEvents } from '../core/events.js';
import { OwnReleases } from '../core/own-releases.js';
import { Administration } from './administration.js';
import { Consuming } from './consuming.js';
import type { QueueContext } from './context.js';
import { OverdueError } from './deadlines.js';
import { DelayedMessages } from './delayed-messages.js';
import { Existence } from './existence.js';
import { GroupConsumer } from './group-consumer.js';
import { GroupLog } from './group-log.js';
import type { RabbitLink } from './link.js';
import { queueNames } from './names.js';
import type { CheckedRabbitMqOptions } from './options.js';
import { Publisher } from './publisher.js';
import { Server } from './server.js';
import { Topology } from './topology.js';
import { UnconfirmedAcks } from './unconfirmed-acks.js';
import { unreadDefault } from './unread-default.js';

/** The broker does not count a requeued message for a moment. */
const REQUEUED = { most: 1024, lateness: 1000 };

/** A queue on RabbitMQ: an exchange, and a quorum queue for each group. */
export class RabbitMqDriver implements Driver {
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly publisher: Publisher;
  readonly administration: Administration;
  readonly #context: QueueContext;
  readonly #topology: Topology;
  readonly #server: Server;
  /** Not for publishing: the broker reads no settlements over a connection that it has blocked. */
  readonly #consuming: Consuming;
  readonly #consumers = new Map<ConsumerGroup, GroupConsumer>();

  constructor(options: CheckedRabbitMqOptions) {
    const { name, groups, publishTimeout, maxPending, logger } = options;
    this.events = new QueueEvents({ queue: name, logger });
    const server = new Server(options, this.events);
    this.#server = server;
    this.failures = server.failures;
    const names = queueNames(name);
    const delayed = DelayedMessages.of(server.id, names.exchange);
    for (const group of groups) delayed.addGroup(group);
    const context: QueueContext = {
      queueName: name,
      names,
      groups,
      serverId: server.id,
      vhost: server.vhost,
      existence: new Existence({ ...options, names, failures: this.failures }),
      failures: this.failures,
      events: this.events,
      delayed,
      logger,
    };
    this.#context = context;
    this.#topology = new Topology(context);
    const unread = unreadDefault(context);
    this.#consuming = new Consuming(() => {
      let isFirst = true;
      const prepare = async (link: RabbitLink) => {
        if (!isFirst) delayed.disturbed();
        isFirst = false;
        await this.#topology.prepare(link);
        void unread.look(link);
      };
      return server.connect({ purpose: 'consuming', prepare });
    });
    const onDeclared = (link: RabbitLink) => void unread.look(link);
    this.publisher = new Publisher({ ...context, server, publishTimeout, maxPending, onDeclared });
    this.administration = new Administration(
      context,
      this.#consumers,
      (signal, ask) => this.#ask(signal, ask),
      () => ({
        version: server.version,
        isOwn: server.isOwn,
        blocked: this.publisher.connection.link?.blocked ?? this.#consuming.first.link?.blocked,
      }),
    );
  }

  createConsumer(group: ConsumerGroup): GroupConsumer {
    const { queueName, logger } = this.#context;
    const consumer = new GroupConsumer({
      ...this.#context,
      group,
      consuming: this.#consuming,
      topology: this.#topology,
      publisher: this.publisher,
      log: new GroupLog(logger, queueName, group),
      unconfirmed: new UnconfirmedAcks(),
      released: new OwnReleases(),
      requeued: new DelayedInTransit(REQUEUED),
    });
    this.#consumers.set(group, consumer);
    return consumer;
  }

  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.administration.count(group, signal);
  }

  lastError(): unknown {
    return this.publisher.lastError ?? this.#consuming.first.lastError;
  }

  async shutDown(): Promise<void> {
    this.#server.stopReconnecting();
    await Promise.all(this.#connections.map(async ({ isReady, link }) => isReady && link?.shutDown()));
  }

  close(): void {
    this.#server.stopReconnecting();
    for (const connection of this.#connections) connection.close();
    this.#server.release();
    this.#context.delayed.release();
  }

  get #connections(): readonly Connection<RabbitLink>[] {
    return [...this.#consuming.connections, this.publisher.connection];
  }

  /** Repeats a request whose answer is overdue: that ends its channel, not the connection. */
  #ask<Answer>(signal: AbortSignal, ask: (link: RabbitLink) => Promise<Answer>): Promise<Answer> {
    const { first } = this.#consuming;
    return first.request(signal, async (link) => {
      for (;;) {
        try {
          return await ask(link);
        } catch (error) {
          const isOverdue = error instanceof OverdueError && this.#server.classify(error) === 'retryable';
          if (!isOverdue || first.link !== link) throw error;
        }
      }
    });
  }
}
