import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import { type Disposition, DROP, FINISH, REQUEUE_UNCOUNTED } from '../core/base-delivery.js';
import type { Connection } from '../core/connection.js';
import type { DriverDelivery } from '../core/delivery.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { GroupHost, GroupSession } from '../core/group-loop.js';
import { OwnReleases } from '../core/own-releases.js';
import { NOT_COUNTED, unawaited } from '../internal/answers.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';
import { Away } from './away.js';
import { Leases, receiptOf, type Ticket } from './leases.js';
import type { NatsLink } from './link.js';
import { type DeliveryFacts, readMessage } from './message.js';
import { isFor, type QueueNames } from './names.js';
import { heartbeatFor, Puller } from './puller.js';
import { Settling } from './settling.js';
import type { Sweeper } from './sweeper.js';

export interface NatsSessionOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly group: ConsumerGroup;
  /** In milliseconds. */
  readonly lease: number;
  /** How many bytes may be on their way to this group at a time. */
  readonly share: () => number;
  readonly connection: Connection<NatsLink>;
  /** Creates the stream and the group if they are missing. Resolves to when the stream was created. */
  readonly open: (link: NatsLink) => Promise<string | undefined>;
  /** The average size of a message when the stream was opened, in bytes. Undefined if it was empty. */
  readonly messageSize: () => number | undefined;
  /** Resolves to when the stream was created. */
  readonly created: (link: NatsLink) => Promise<string>;
  /** Stores a message in the quarantine. */
  readonly setAside: (link: NatsLink, message: Msg, reason: string) => Promise<void>;
  readonly sweeper: Sweeper;
  readonly failures: EngineErrors;
  readonly logger: Logger;
}

/** How long the server keeps a request for messages, in milliseconds. */
const EXPIRES = 30_000;

/** The pause before the last settlements are sent once more, in milliseconds. */
const LEAVE_PAUSE = 50;

/** One group over a durable pull consumer: it asks for as many messages as the subscribers have credit for, renews their leases, and sends settlements. */
export class NatsSession implements GroupSession<NatsLink> {
  readonly #host: GroupHost;
  readonly #options: NatsSessionOptions;
  readonly #puller: Puller;
  readonly #leases: Leases;
  readonly #settling: Settling;
  readonly #away = new Away();
  /** By sequence number: the server counts a released message as delivered. */
  readonly #released = new OwnReleases();
  #link: NatsLink | undefined;
  #stream: string | undefined;
  /** The consumer is gone, or has no leader. */
  #missing = false;
  /** The messages that arrived in this turn. */
  #arrived: { readonly message: Msg; readonly facts: DeliveryFacts }[] = [];

  constructor(host: GroupHost, options: NatsSessionOptions) {
    this.#host = host;
    this.#options = options;
    const { names, group, lease, sweeper, connection } = options;
    const consumer = names.consumer(group);
    const onMissing = (reason: string) => this.#lost(reason);
    const onFailed = (error: unknown) => this.#refused(error);
    this.#leases = new Leases({
      lease,
      link: () => (connection.isReady && connection.link === this.#link ? this.#link : undefined),
      onEnded: (token) => host.inFlight.recall(token),
      onLook: (now) => this.#look(now),
      onMissing,
      onFailed,
    });
    this.#settling = new Settling({ consumer, sweeper, onChange: () => host.wake(), onMissing, onFailed });
    this.#puller = new Puller({
      stream: names.stream,
      consumer,
      expires: EXPIRES,
      share: options.share,
      messageSize: options.messageSize,
      heartbeat: heartbeatFor(lease),
      onMessage: (message, facts) => this.#arrive(message, facts),
      onChange: () => host.wake(),
      onMissing,
      onRefused: (reason) => this.#warn(`has made a request that NATS refuses: ${reason}`),
    });
  }

  /** How many messages of the group no consumer can get now, as far as this process knows; and how many of these no other group gets. */
  get kept(): { readonly all: number; readonly own: number } {
    const inFlight = this.#leases.count(({ subject }) => this.#isOwn(subject));
    return { all: this.#host.inFlight.size + this.#away.size, own: inFlight + this.#away.own };
  }

  /** Whether this process uses the group. If not, the group may be deleted, and stays so. */
  get isNeeded(): boolean {
    return this.#host.inFlight.hasMembers || this.#leases.size > 0 || this.#settling.isPending;
  }

  /** The messages that this process nacked with a delay. */
  get away(): Away {
    return this.#away;
  }

  get hasWork(): boolean {
    const { inFlight } = this.#host;
    return (
      this.#settling.isPending ||
      inFlight.hasCredit ||
      inFlight.acceptsExcess ||
      this.#puller.asked > 0 ||
      this.#leases.size > 0
    );
  }

  /** Whether this process has a message in flight. */
  holds(sequence: number): boolean {
    return this.#leases.has(String(sequence));
  }

  /** Whether this process has acknowledged or rejected a message. */
  hasSettled(sequence: number, storedAt: number): boolean {
    const { sweeper, names, group } = this.#options;
    const place = { stream: this.#stream, sequence, storedAt };
    return this.#settling.isFinishing(sequence) || sweeper.isSettled(names.consumer(group), place);
  }

  /** How often this process has released a message. */
  releasesOf(sequence: number): number {
    return this.#released.of(String(sequence));
  }

  /** The stream of now was created then. Begins again if it is another one than before. */
  recreated(created: string): void {
    if (created !== this.#stream) this.#host.restart();
  }

  async begin(link: NatsLink): Promise<void> {
    this.#puller.stop();
    const created = await this.#options.open(link);
    if (this.#stream !== undefined && created !== this.#stream) this.#forgetAll();
    this.#stream = created;
    this.#options.sweeper.begin(created);
    this.#missing = false;
    this.#link = link;
    this.#puller.start(link);
    this.#leases.renew();
  }

  async flush(link: NatsLink): Promise<void> {
    if (this.#puller.isIdle && (await this.#isAnother(link))) await this.begin(link);
    if (this.#asksTooMuch) await this.#puller.withdraw();
    // Requests for messages do not wait for its answer.
    void this.#settling.send(link);
    this.#pull();
    // The messages that arrived in this turn are delivered first.
    if (this.#puller.asked <= this.#credit && this.#arrived.length === 0) this.#host.inFlight.quiet();
  }

  settle({ token }: DriverDelivery, disposition: Disposition): Promise<boolean> {
    const { delay, quarantine } = disposition;
    const ticket = this.#leases.end(token);
    if (ticket === undefined) return NOT_COUNTED;
    if (quarantine !== undefined) return this.#setAside(ticket, 'is given up', quarantine);
    if (delay > 0)
      this.#away.add(token, delay, receiptOf(ticket.message, ticket, ticket.stream), this.#isOwn(ticket.subject));
    return this.#answer(ticket, disposition);
  }

  interrupted(): void {
    if (this.#host.isClosing) this.#settling.giveUp();
  }

  giveUp(error?: Error): void {
    this.#settling.giveUp(error);
  }

  settled(): Promise<void> {
    return this.#settling.answeredNow();
  }

  async leave(link: NatsLink): Promise<void> {
    // If this fails, the connection is lost, and the leases expire.
    await this.#puller.withdraw().catch(() => {});
    // The server has sent what it will send when it answers this. A failure means the same.
    await link.flush().catch(() => {});
    // What has arrived in this turn is released.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#settling.send(link);
    while (this.#settling.isPending && link.isUp) {
      // While no server takes settlements, requests without a pause would flood the link.
      await new Promise((resolve) => setTimeout(resolve, LEAVE_PAUSE));
      await this.#settling.send(link);
    }
  }

  stop(): void {
    this.#leases.stop();
    this.#puller.stop();
  }

  /** Sends a settlement, with all others of this turn. */
  #answer(ticket: Ticket, disposition: Disposition): Promise<boolean> {
    const { action, isCounted } = disposition;
    if (!isCounted) this.#released.add(String(ticket.sequence));
    else if (action !== 'requeue') this.#released.delete(String(ticket.sequence));
    const counts = this.#settling.add(ticket, disposition);
    this.#leases.watch();
    this.#host.wake();
    return counts;
  }

  /** Whether the stream was created again while this consumer asked for nothing. */
  async #isAnother(link: NatsLink): Promise<boolean> {
    const created = await this.#options.created(link);
    this.#puller.confirm();
    return created !== this.#stream;
  }

  /** The stream is another: what is in flight is not in it, and a settlement would concern another message. */
  #forgetAll(): void {
    const { inFlight } = this.#host;
    for (const token of [...inFlight.ids]) inFlight.recall(token);
    this.#leases.forget();
    this.#arrived = [];
    this.#away.clear();
    this.#released.clear();
    this.#settling.giveUp();
  }

  get #credit(): number {
    return this.#host.isClosing ? 0 : this.#host.inFlight.credit;
  }

  /**
   * Whether it has asked for more than the subscribers take. A credit that shrinks is no reason while messages arrive: they use up what was asked for, and a server before 2.10
   * may keep one that it was about to send until its lease expires.
   */
  get #asksTooMuch(): boolean {
    const { inFlight } = this.#host;
    const shrunk = inFlight.acceptsExcess && !inFlight.isPausing;
    return this.#puller.asked > this.#credit && !(shrunk && this.#puller.isBusy);
  }

  #pull(): void {
    if (this.#settling.isReturning) return;
    const credit = this.#credit;
    // Some at a time: a request costs the server as much as a message.
    if (credit > 0 && this.#puller.asked <= credit / 2) this.#puller.pull(credit - this.#puller.asked);
  }

  /** Delivers the messages of a turn in the order of the stream: the server sends those that were requeued in the order of their requeuing. */
  #arrive(message: Msg, facts: DeliveryFacts): void {
    if (this.#arrived.push({ message, facts }) > 1) return;
    setImmediate(() => {
      const arrived = this.#arrived.sort((one, other) => one.facts.sequence - other.facts.sequence);
      this.#arrived = [];
      for (const { message, facts } of arrived) this.#deliver(message, facts);
      this.#host.wake();
    });
  }

  /** Delivers a message to the next subscriber, or releases it if there is none. */
  #deliver(message: Msg, facts: DeliveryFacts): void {
    const ticket = this.#leases.begin(message, facts, this.#stream);
    const { names, group, sweeper } = this.#options;
    const { inFlight, isClosing } = this.#host;
    const consumer = names.consumer(group);
    // A server that failed may have forgotten a settlement. It is told again.
    if (this.#settling.isFinishing(facts.sequence)) return;
    if (!isFor(consumer, names.targetOf(message.subject)) || sweeper.isSettled(consumer, ticket)) {
      unawaited(this.#answer(ticket, FINISH));
      return;
    }
    if (!inFlight.canDeliver || isClosing) {
      unawaited(this.#answer(ticket, REQUEUE_UNCOUNTED));
      return;
    }
    const deliveries = Math.max(1, facts.deliveries - this.releasesOf(facts.sequence));
    const content = readMessage(message, { ...facts, deliveries }, names.keyStart(message.subject));
    if (typeof content === 'string') {
      void this.#setAside(ticket, 'is no message', content);
      return;
    }
    this.#away.delete(content.token);
    this.#leases.keep(content.token, ticket);
    if (this.#host.deliver(content)) return;
    this.#leases.end(content.token);
    unawaited(this.#answer(ticket, REQUEUE_UNCOUNTED));
  }

  /** Whether no other group gets a message. */
  #isOwn(subject: string): boolean {
    return this.#options.names.targetOf(subject) !== undefined;
  }

  /** Puts a message in quarantine. Resolves to whether it is there. */
  async #setAside(ticket: Ticket, what: string, reason: string): Promise<boolean> {
    const { queueName: queue, group, names, logger, setAside, connection } = this.#options;
    const { message } = ticket;
    const which = `A message on subject ${JSON.stringify(message.subject)} of queue ${JSON.stringify(queue)}`;
    try {
      await setAside(await connection.acquire(), message, reason);
      const counted = await this.#answer(ticket, DROP);
      this.#host.quarantined(which, `${what}: ${reason}`, `the stream ${JSON.stringify(names.aside)}`);
      return counted;
    } catch (error) {
      // Its lease expires, and it is delivered again.
      const line = `${which} ${what}: ${reason}. It cannot be put in quarantine yet`;
      logger.warn(`${line}: ${describeError(error)}`, { queue, group });
      logger.debug(line, { queue, group, error });
      return false;
    }
  }

  /** Drops the settlements whose leases have expired. Returns whether there are others. */
  #look(now: number): boolean {
    this.#settling.dropLate(now);
    this.#host.wake();
    return this.#settling.isPending && !this.#host.isClosing;
  }

  /** The consumer is gone, or has no leader. */
  #lost(reason: string): void {
    if (this.#host.isClosing || this.#missing) return;
    this.#warn(`is gone, or has no leader: ${reason}. Looking for it, and creating it if it is missing.`);
    this.#missing = true;
    this.#puller.stop();
    this.#host.failed(new Error(reason), 'retryable');
    this.#host.restart();
  }

  #warn(what: string): void {
    const { queueName: queue, group, logger } = this.#options;
    logger.warn(`The consumer of group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)} ${what}`, {
      queue,
      group,
    });
  }

  /** A settlement or a renewal has failed. Over a lost connection, both are sent again with the next one. */
  #refused(error: unknown): void {
    if (this.#options.failures.classify(error) === 'retryable') return;
    this.#host.failed(error);
    this.#host.restart();
  }
}
