import { headers as createHeaders, type Msg } from '@nats-io/transport-node';
import type { ConsumerGroup, GroupInfo, MessageView, QueueStats } from '../backend.js';
import type { Connection } from '../core/connection.js';
import type { Driver, DriverAdministration, DriverConsumer } from '../core/driver.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { QueueEvents } from '../core/events.js';
import { FatalErrors } from '../core/fatal-errors.js';
import { GroupLoop } from '../core/group-loop.js';
import { PublishLoop } from '../core/publish-loop.js';
import { Refusals } from '../core/refusals.js';
import { AbandonedGroups } from './abandoned-groups.js';
import { Administration } from './administration.js';
import { Counts } from './counts.js';
import { NatsSession } from './group-session.js';
import { isTooLarge, type NatsLink } from './link.js';
import { copyHeaders, copyId, ID_HEADER, writeHeadersHeader } from './message.js';
import { Mover } from './mover.js';
import { type QueueNames, queueNames } from './names.js';
import { isNotFound } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';
import { type Parcel, Publisher, store } from './publisher.js';
import { Purge } from './purge.js';
import { Removals } from './removals.js';
import { Server } from './server.js';
import { NOTHING_KEPT, Stats } from './stats.js';
import { Sweeper } from './sweeper.js';
import { Topology } from './topology.js';

/** Why a message was moved aside, on its copy. */
const REASON_HEADER = 'Sluice-Reason';

/**
 * How many bytes may be on their way here at a time, to all groups. On a slow link a message has to arrive within its lease, together with those before it. The server drops
 * a connection that does not take what it sends within ten seconds, or for which more than 64 MB wait, by default.
 */
const BUDGET = 1024 * 1024;

/** A queue on NATS JetStream. */
export class NatsDriver implements Driver, DriverAdministration {
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly publisher: PublishLoop<NatsLink, Parcel>;
  readonly #publisher: Publisher;
  readonly #publishRefusals: Refusals;
  readonly #options: CheckedNatsOptions;
  readonly #names: QueueNames;
  readonly #topology: Topology;
  readonly #connection: Connection<NatsLink>;
  readonly #mover: Mover;
  readonly #removals: Removals;
  readonly #sweeper: Sweeper;
  readonly #counts: Counts;
  readonly #stats: Stats;
  readonly #purge: Purge;
  readonly #administration: Administration;
  readonly #abandoned: AbandonedGroups;
  readonly #sessions = new Map<ConsumerGroup, NatsSession>();
  /** The groups that were not declared, and that messages were published for. */
  readonly #addressed = new Set<ConsumerGroup>();
  /** When the stream was made that all groups were opened in. */
  #complete: string | undefined;
  #completing: Promise<void> | undefined;
  #closed = false;

  constructor(options: CheckedNatsOptions) {
    this.#options = options;
    const { name, publishTimeout, maxPending } = options;
    this.#names = queueNames(name);
    this.#topology = new Topology(options, this.#names);
    const server = new Server(options);
    this.failures = server.failures;
    this.events = new QueueEvents({ queue: name, logger: options.logger });
    this.#connection = server.connect(this.events, (link) => this.#prepare(link));
    const shared = { names: this.#names, connection: this.#connection, open: (link: NatsLink) => this.#open(link) };
    const { logger } = options;
    this.#publisher = new Publisher({
      ...shared,
      queueName: name,
      onDelayed: () => this.#mover.start(),
      onGroup: (group) => this.#address(group),
    });
    const requests = `publishes to queue ${JSON.stringify(name)}`;
    this.#publishRefusals = new Refusals({ engine: this.failures.engine, queue: name, requests, logger });
    this.publisher = new PublishLoop({
      queueName: name,
      connection: this.#connection,
      publishTimeout,
      maxPending,
      failures: this.failures,
      refusals: this.#publishRefusals,
      events: this.events,
      driver: this.#publisher,
      lastError: () => this.lastError(),
    });
    this.#publisher.loop = this.publisher;
    this.#removals = new Removals({ queueName: name, names: this.#names, groups: () => this.#topology.groups, logger });
    this.#sweeper = new Sweeper({
      queueName: name,
      failures: this.failures,
      logger: options.logger,
      names: this.#names,
      removals: this.#removals,
      connection: this.#connection,
      onAnother: (created) => {
        for (const session of this.#sessions.values()) session.recreated(created);
      },
    });
    this.#counts = new Counts({
      names: this.#names,
      sweep: () => this.#sweeper.sweep(),
      kept: (consumer) => this.#sessionNamed(consumer)?.kept.all ?? 0,
    });
    this.#stats = new Stats({
      names: this.#names,
      counts: this.#counts,
      declared: () => this.#topology.groups,
      known: () => this.#groups(),
      expected: options.groups,
      kept: (consumer) => this.#sessionNamed(consumer)?.kept ?? NOTHING_KEPT,
      moved: () => this.#mover.moved(),
    });
    this.#abandoned = new AbandonedGroups({
      queueName: name,
      names: this.#names,
      domain: options.domain,
      counts: this.#counts,
      known: () => new Set([...options.groups, ...this.#sessions.keys()].map(this.#names.consumer)),
      link: () => (this.#connection.isReady ? this.#connection.link : undefined),
      logger: options.logger,
    });
    this.#mover = new Mover({
      ...shared,
      queueName: name,
      state: (link) => this.#topology.moverState(link),
      dedupeWindow: () => this.#topology.dedupeWindow,
      failures: this.failures,
      logger: options.logger,
      setAside: (link, message, reason) => this.#setAside(link, message, reason),
    });
    const consumer = (consumerName: string) => this.#sessionNamed(consumerName);
    this.#purge = new Purge({
      queueName: name,
      names: this.#names,
      removals: this.#removals,
      sweeper: this.#sweeper,
      mover: this.#mover,
      consumer,
    });
    this.#administration = new Administration({
      names: this.#names,
      consumer,
      purge: this.#purge,
      moved: () => this.#mover.moved(),
    });
  }

  get administration(): DriverAdministration {
    return this;
  }

  createConsumer(group: ConsumerGroup): DriverConsumer {
    const { name, lease, logger } = this.#options;
    const requests = `requests of group ${JSON.stringify(group)} of queue ${JSON.stringify(name)}`;
    return new GroupLoop({
      queueName: name,
      group,
      connection: this.#connection,
      failures: this.failures,
      refusals: new Refusals({ engine: this.failures.engine, queue: name, group, requests, logger }),
      fatalErrors: new FatalErrors({ queue: name, group, logger }),
      events: this.events,
      logger,
      // Publishers and the other groups use the same link.
      dropsLink: false,
      createSession: (host) => {
        const session = new NatsSession(host, {
          queueName: name,
          names: this.#names,
          group,
          lease,
          share: () => BUDGET / Math.max(1, this.#consumed().length),
          connection: this.#connection,
          open: async (link) => {
            this.#mover.start();
            await this.#openGroup(link, group);
            return this.#topology.created;
          },
          messageSize: () => this.#topology.messageSize,
          created: async (link) => (await this.#removals.first(link)).created,
          setAside: (link, message, reason) => this.#setAside(link, message, reason),
          sweeper: this.#sweeper,
          failures: this.failures,
          logger,
        });
        this.#sessions.set(group, session);
        return session;
      },
    });
  }

  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.#request(signal, (link) =>
      group === undefined ? this.#stats.all(link) : this.#stats.group(link, group),
    );
  }

  groups(signal: AbortSignal): Promise<Omit<GroupInfo, 'declared'>[]> {
    return this.#request(signal, (link) => this.#stats.groups(link));
  }

  deleteGroup(group: ConsumerGroup, signal: AbortSignal): Promise<boolean> {
    return this.#request(signal, (link) => this.#administration.deleteGroup(link, group));
  }

  peek(group: ConsumerGroup, limit: number, signal: AbortSignal): Promise<MessageView[]> {
    return this.#request(signal, (link) => this.#administration.peek(link, group, limit));
  }

  async purge(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<number> {
    let removed = 0;
    const onRemoved = (count: number) => {
      removed += count;
    };
    await this.#request(signal, (link) => this.#purge.run(link, group, onRemoved));
    return removed;
  }

  /** Sends a request, and creates the stream first if it is missing. */
  #request<Value>(signal: AbortSignal, send: (link: NatsLink) => Promise<Value>): Promise<Value> {
    return this.#connection.request(signal, async (link) => {
      for (;;) {
        try {
          return await send(link);
        } catch (error) {
          if (this.#closed || !isNotFound(error)) throw error;
        }
        await this.#open(link);
      }
    });
  }

  lastError(): unknown {
    const { lastError, link } = this.#connection;
    return lastError ?? this.#publishRefusals.last ?? link?.refusal;
  }

  async shutDown(): Promise<void> {
    await this.#mover.leave();
    await this.#sweeper.close();
    // What was answered last has to leave this process. If it does not, leases expire, and the messages are redelivered.
    if (this.#connection.isReady) await this.#connection.link?.flush().catch(() => {});
  }

  close(): void {
    this.#closed = true;
    this.#abandoned.stop();
    this.#publisher.stop();
    this.#mover.close();
    this.#sweeper.stop();
    this.#connection.close();
  }

  /** The groups that were declared exist before anything is published. */
  async #prepare(link: NatsLink): Promise<void> {
    await this.#open(link);
    if ((await this.#counts.delayed(link)).total > 0) this.#mover.start();
    void this.#abandoned.look(link);
    this.#mover.reconnected();
  }

  /** The groups that are consumed for here, and those that messages were published for. */
  #needed(): ConsumerGroup[] {
    return [...this.#consumed(), ...this.#addressed];
  }

  #consumed(): ConsumerGroup[] {
    return [...this.#sessions].filter(([, session]) => session.isNeeded).map(([group]) => group);
  }

  /** A message is published for a group. Returns whether that may be missing: one that was not declared is not made before. */
  #address(group: ConsumerGroup): boolean {
    if (this.#options.groupsDeclared || this.#addressed.has(group)) return false;
    this.#addressed.add(group);
    return true;
  }

  /** The groups that are declared, and those that are consumed for here. */
  #groups(): Set<ConsumerGroup> {
    return new Set([...this.#topology.groups, ...this.#needed()]);
  }

  /** Sees to it that the streams are there, with all groups. */
  async #open(link: NatsLink): Promise<void> {
    await this.#topology.openAll(link, this.#needed(), this.#beforeGroups(link));
    this.#complete = this.#topology.created;
  }

  /** Sees to it that the streams are there, with a group; and with all groups where the stream is another, which has none of them. */
  async #openGroup(link: NatsLink, group: ConsumerGroup): Promise<void> {
    await this.#topology.open(link, group, this.#beforeGroups(link));
    if (this.#topology.created === this.#complete) return;
    this.#completing ??= this.#open(link).finally(() => {
      this.#completing = undefined;
    });
    await this.#completing;
  }

  /** What is done before a group is created, so that it starts without messages that all other groups have settled. */
  #beforeGroups(link: NatsLink): () => Promise<void> {
    let removals: Promise<void> | undefined;
    return async () => {
      await this.#sweeper.sweep();
      // Once for all groups: opening has a deadline.
      removals ??= this.#removals.awaitOthers(link);
      await removals;
    };
  }

  /** Keeps a message that is none, with the reason. One that leaves no room for that is kept after an empty one that has it. */
  async #setAside(link: NatsLink, message: Msg, reason: string): Promise<void> {
    await this.#topology.openAside(link);
    const written = writeHeadersHeader({ headers: { reason } }) ?? '';
    const headers = copyHeaders(message);
    headers.set(REASON_HEADER, written);
    // If the lease ends meanwhile, the message is redelivered and copied again: the server keeps one copy.
    const id = copyId(message.reply ?? '');
    headers.set(ID_HEADER, id);
    try {
      await store(link, this.#names.asideSubject(message.subject), message.data, headers);
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      const alone = createHeaders();
      alone.set(REASON_HEADER, written);
      alone.set(ID_HEADER, id);
      await store(link, this.#names.asideSubject(message.subject), new Uint8Array(), alone);
      await store(link, this.#names.asideSubject(message.subject), message.data, copyHeaders(message));
    }
  }

  /** The consumer here of a group, by its name on the server. */
  #sessionNamed(name: string): NatsSession | undefined {
    for (const [group, session] of this.#sessions) if (this.#names.consumer(group) === name) return session;
    return undefined;
  }
}
