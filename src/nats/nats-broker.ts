import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { Broker, BrokerConsumer } from '../broker/broker-backend.js';
import type { Connection } from '../broker/connection.js';
import type { Failures } from '../broker/failures.js';
import { isNotFound } from './failures.js';
import { GroupConsumer } from './group-consumer.js';
import { isTooLarge, isUnanswered, type NatsLink } from './link.js';
import { copyHeaders, copyId, ID_HEADER, writeHeadersHeader } from './message.js';
import { Mover } from './mover.js';
import { type QueueNames, queueNames } from './names.js';
import type { CheckedNatsOptions } from './options.js';
import { Publisher } from './publisher.js';
import { Server } from './server.js';
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
export class NatsBroker implements Broker {
  readonly failures: Failures;
  readonly publisher: Publisher;
  readonly #options: CheckedNatsOptions;
  readonly #names: QueueNames;
  readonly #topology: Topology;
  readonly #connection: Connection<NatsLink>;
  readonly #mover: Mover;
  readonly #sweeper: Sweeper;
  readonly #consumers = new Map<ConsumerGroup, GroupConsumer>();
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
    this.#connection = server.connect((link) => this.#prepare(link));
    const shared = { names: this.#names, connection: this.#connection, open: (link: NatsLink) => this.#open(link) };
    this.publisher = new Publisher({
      ...shared,
      queueName: name,
      onDelayed: () => this.#mover.start(),
      publishTimeout,
      maxPending,
      failures: this.failures,
    });
    this.#sweeper = new Sweeper({
      queueName: name,
      failures: this.failures,
      logger: options.logger,
      names: this.#names,
      topology: this.#topology,
      connection: this.#connection,
      onAnother: (created) => {
        for (const consumer of this.#consumers.values()) consumer.recreated(created);
      },
    });
    this.#mover = new Mover({
      ...shared,
      queueName: name,
      state: (link) => this.#topology.moverState(link),
      failures: this.failures,
      logger: options.logger,
      forward: (link, subject, data, headers) => this.publisher.forward(link, subject, data, headers),
      setAside: (link, message, reason) => this.#setAside(link, message, reason),
    });
  }

  createConsumer(group: ConsumerGroup): BrokerConsumer {
    const { name, lease, logger } = this.#options;
    const consumer = new GroupConsumer({
      queueName: name,
      names: this.#names,
      group,
      lease,
      share: () => BUDGET / Math.max(1, this.#needed().length),
      connection: this.#connection,
      open: async (link) => {
        this.#mover.start();
        await this.#openGroup(link, group);
        return this.#topology.created;
      },
      messageSize: () => this.#topology.messageSize,
      created: async (link) => (await this.#topology.first(link)).created,
      setAside: (link, message, reason) => this.#setAside(link, message, reason),
      sweeper: this.#sweeper,
      failures: this.failures,
      logger,
    });
    this.#consumers.set(group, consumer);
    return consumer;
  }

  async count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    for (;;) {
      const link = await this.#connection.acquire(signal);
      try {
        return await (group === undefined ? this.#countAll(link) : this.#countGroup(link, group));
      } catch (error) {
        const outlook = this.failures.outlookOf(error);
        if (this.#closed || outlook === 'hopeless') throw error;
        if (isNotFound(error)) await this.#open(link);
        else if (outlook === 'refused') throw error;
        // Over a link that fails at once, this would not end, and nothing else would begin.
        else this.#connection.lose(link, error);
      }
    }
  }

  trouble(): unknown {
    return this.#connection.trouble ?? this.#connection.link?.refusal;
  }

  async goodbye(): Promise<void> {
    await this.#mover.leave();
    await this.#sweeper.close();
    // What was answered last has to leave this process. If it does not, leases expire, and the messages are redelivered.
    if (this.#connection.isReady) await this.#connection.link?.flush().catch(() => {});
  }

  close(): void {
    this.#closed = true;
    this.#mover.close();
    this.#sweeper.stop();
    this.#connection.close();
  }

  /** The groups that were declared exist before anything is published. */
  async #prepare(link: NatsLink): Promise<void> {
    await this.#open(link);
    if ((await this.#topology.countDelayed(link)) > 0) this.#mover.start();
    this.#mover.reconnected();
    this.publisher.reconnected();
    for (const consumer of this.#consumers.values()) consumer.reconnected();
  }

  /** The groups that are consumed for here. */
  #needed(): ConsumerGroup[] {
    return [...this.#consumers].filter(([, consumer]) => consumer.isNeeded).map(([group]) => group);
  }

  /** The groups that are declared, and those that are consumed for here. */
  #groups(): Set<ConsumerGroup> {
    return new Set([...this.#options.groups, ...this.#needed()]);
  }

  /** Sees to it that the streams are there, with all groups. */
  async #open(link: NatsLink): Promise<void> {
    await this.#topology.open(link, this.#groups(), () => this.#sweeper.sweep());
    this.#complete = this.#topology.created;
  }

  /** Sees to it that the streams are there, with a group; and with all groups where the stream is another, which has none of them. */
  async #openGroup(link: NatsLink, group: ConsumerGroup): Promise<void> {
    await this.#topology.open(link, [group], () => this.#sweeper.sweep());
    if (this.#topology.created === this.#complete) return;
    this.#completing ??= this.#open(link).finally(() => {
      this.#completing = undefined;
    });
    await this.#completing;
  }

  /** Keeps a message that is none, with the reason. One that leaves no room for that is kept after an empty one that has it. */
  async #setAside(link: NatsLink, message: Msg, reason: string): Promise<void> {
    await this.#topology.openAside(link);
    const written = writeHeadersHeader({ reason }) ?? '';
    const headers = copyHeaders(message);
    headers.set(REASON_HEADER, written);
    // If the lease ends meanwhile, the message is redelivered and copied again: the server keeps one copy.
    const id = copyId(message.reply ?? '');
    headers.set(ID_HEADER, id);
    try {
      await this.#storeAside(link, message.subject, message.data, headers);
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      const alone = createHeaders();
      alone.set(REASON_HEADER, written);
      alone.set(ID_HEADER, id);
      await this.#storeAside(link, message.subject, new Uint8Array(), alone);
      await this.#storeAside(link, message.subject, message.data, copyHeaders(message));
    }
  }

  async #storeAside(link: NatsLink, subject: string, data: Uint8Array, headers?: MsgHdrs): Promise<void> {
    const answer = await link.request(this.#names.asideSubject(subject), data, headers);
    if (isUnanswered(answer) || answer.json<{ error?: unknown }>().error !== undefined) throw new Error('JetStream did not take it');
  }

  async #countGroup(link: NatsLink, group: ConsumerGroup): Promise<QueueStats> {
    return this.#countBeside(link, group, await this.#countDelayed(link));
  }

  /** How many messages wait for their time, but for those that this process is moving: they are in the stream. */
  async #countDelayed(link: NatsLink): Promise<number> {
    await this.#mover.moved();
    return this.#topology.countDelayed(link);
  }

  /** @param delayed how many messages wait for their time: counted before, since what falls due meanwhile is rather counted twice than not at all */
  async #countBeside(link: NatsLink, group: ConsumerGroup, delayed: number): Promise<QueueStats> {
    const held = await this.#topology.countGroup(link, group, () => this.#sweeper.sweep());
    return { ready: this.#readyOf(this.#consumers.get(group), held), unfinished: held + delayed };
  }

  /** How many of the messages that a group has not settled somebody may get, as far as this process knows. */
  #readyOf(consumer: GroupConsumer | undefined, held: number): number {
    const { out, away } = consumer?.kept ?? { out: 0, away: 0 };
    return Math.max(0, held - out - away);
  }

  /**
   * A message that several groups have is one: as a rule, the group that is the furthest behind has all that the others have. All groups that are there count, and
   * those that are declared or consumed for here and are not there yet.
   */
  async #countAll(link: NatsLink): Promise<QueueStats> {
    const delayed = await this.#countDelayed(link);
    const { consumer: nameOf } = this.#names;
    const unsettled = await this.#topology.countGroups(link);
    const here = new Map([...this.#consumers].map(([group, consumer]) => [nameOf(group), consumer]));
    const there = [...unsettled].map(([name, held]) => ({ ready: this.#readyOf(here.get(name), held), unfinished: held + delayed }));
    const missing = [...this.#groups()].filter((group) => !unsettled.has(nameOf(group)));
    const counts = [...there, ...(await Promise.all(missing.map((group) => this.#countBeside(link, group, delayed))))];
    return { ready: Math.max(...counts.map(({ ready }) => ready)), unfinished: Math.max(...counts.map(({ unfinished }) => unfinished)) };
  }
}
