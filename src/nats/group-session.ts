import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import { type Disposition, DROP, FINISH, REQUEUE_UNCOUNTED } from '../core/base-delivery.js';
import type { DriverDelivery } from '../core/delivery.js';
import type { GroupHost, GroupSession } from '../core/group-loop.js';
import { OwnReleases } from '../core/own-releases.js';
import { NOT_COUNTED, unawaited } from '../internal/answers.js';
import { describeError } from '../internal/describe.js';
import { type Receipt, receiptOf } from './answers.js';
import type { NatsLink } from './link.js';
import { type DeliveryFacts, type Place, readMessage } from './message.js';
import type { Mover } from './mover.js';
import { Nacked } from './nacked.js';
import { isFor } from './names.js';
import { heartbeatFor, Puller } from './puller.js';
import { quarantine } from './quarantine.js';
import type { NatsQueue } from './queue.js';
import type { Sweeper } from './sweeper.js';
import { type Ticket, Unsettled } from './unsettled.js';

export interface NatsSessionOptions {
  readonly group: ConsumerGroup;
  /** How many bytes may be in transit to this group. */
  readonly share: () => number;
  readonly sweeper: Sweeper;
  readonly mover: Mover;
}

export interface Share {
  readonly all: number;
  /** How many of these no other group gets. */
  readonly own: number;
}

/** How long the server keeps a request for messages, in milliseconds. */
const EXPIRES = 30_000;

/** The pause before the last settlements are sent again, in milliseconds. */
const LEAVE_PAUSE = 50;

/**
 * Implements one group with a durable pull consumer: requests messages for the credit of the
 * subscribers, renews their leases, and sends settlements.
 */
export class NatsSession implements GroupSession<NatsLink> {
  readonly group: ConsumerGroup;
  /** The messages that this process nacked with a delay. */
  readonly nacked = new Nacked();
  readonly #host: GroupHost;
  readonly #queue: NatsQueue;
  readonly #options: NatsSessionOptions;
  readonly #consumer: string;
  readonly #puller: Puller;
  readonly #unsettled: Unsettled;
  /** By sequence number. The server counts a released message as delivered. */
  readonly #released = new OwnReleases();
  #link: NatsLink | undefined;
  /** When the stream was created. */
  #stream: string | undefined;
  #isMissing = false;
  #arrived: { readonly message: Msg; readonly facts: DeliveryFacts }[] = [];

  constructor(host: GroupHost, queue: NatsQueue, options: NatsSessionOptions) {
    this.#host = host;
    this.#queue = queue;
    this.#options = options;
    const { names, connection, topology } = queue;
    const { group, share, sweeper } = options;
    const { lease } = queue.options;
    this.group = group;
    const consumer = names.consumer(group);
    this.#consumer = consumer;
    const onChange = () => host.wake();
    const onMissing = (reason: string) => this.#lost(reason);
    this.#unsettled = new Unsettled({
      lease,
      consumer,
      sweeper,
      link: () => (connection.isReady && connection.link === this.#link ? this.#link : undefined),
      onExpired: (token) => host.inFlight.recall(token),
      onChange,
      onMissing,
      onFailed: (error) => this.#failed(error),
    });
    this.#puller = new Puller({
      stream: names.stream,
      consumer,
      expires: EXPIRES,
      share,
      messageSize: () => topology.messageSize,
      heartbeat: heartbeatFor(lease),
      onMessage: (message, facts) => this.#arrive(message, facts),
      onChange,
      onMissing,
      onRefused: (reason) => this.#warn(`sent a request that NATS refuses: ${reason}`),
    });
  }

  /** The messages that no consumer can receive now, as far as this process knows. */
  get kept(): Share {
    const own = [...this.#unsettled.tickets.values(), ...this.nacked.receipts].filter((receipt) =>
      this.#isOwn(receipt),
    );
    return { all: this.#host.inFlight.size + this.nacked.size, own: own.length };
  }

  /** Whether this process uses the group. If not, a deleted group is not created again. */
  get isNeeded(): boolean {
    return this.#host.inFlight.hasMembers || this.#unsettled.tickets.size > 0 || this.#unsettled.isPending;
  }

  get hasWork(): boolean {
    const { inFlight } = this.#host;
    return (
      this.#unsettled.isPending ||
      inFlight.hasCredit ||
      inFlight.acceptsExcess ||
      this.#puller.asked > 0 ||
      this.#unsettled.tickets.size > 0
    );
  }

  holds(sequence: number): boolean {
    return this.#unsettled.tickets.has(String(sequence));
  }

  hasSettled({ sequence, storedAt }: Place): boolean {
    return (
      this.#unsettled.isFinishing(sequence) ||
      this.#options.sweeper.isSettled(this.#consumer, { stream: this.#stream, sequence, storedAt })
    );
  }

  releasesOf(sequence: number): number {
    return this.#released.of(String(sequence));
  }

  /** The current stream was created then. Begins again if it is another one. */
  recreated(created: string): void {
    if (created !== this.#stream) this.#host.restart();
  }

  async begin(link: NatsLink): Promise<void> {
    const { topology } = this.#queue;
    const { sweeper, mover } = this.#options;
    this.#puller.stop();
    mover.start();
    await topology.openGroup(link, this.group);
    const { created } = topology;
    if (this.#stream !== undefined && created !== this.#stream) this.#forgetAll();
    this.#stream = created;
    sweeper.begin(created);
    this.#isMissing = false;
    this.#link = link;
    this.#puller.start(link);
    this.#unsettled.renew();
  }

  async flush(link: NatsLink): Promise<void> {
    if (this.#puller.isIdle && (await this.#isRecreated(link))) await this.begin(link);
    if (this.#asksTooMuch) await this.#puller.withdraw();
    // Requests for messages do not wait for the confirm.
    void this.#unsettled.send(link);
    this.#pull();
    // The messages that arrived in this turn are delivered first.
    if (this.#puller.asked <= this.#credit && this.#arrived.length === 0) this.#host.inFlight.quiet();
  }

  settle({ token }: DriverDelivery, disposition: Disposition): Promise<boolean> {
    const { delay, quarantine: reason } = disposition;
    const ticket = this.#unsettled.end(token);
    if (ticket === undefined) return NOT_COUNTED;
    if (reason !== undefined) return this.#quarantine(ticket, 'is given up', reason);
    if (delay > 0) this.nacked.add(token, delay, receiptOf(ticket.message, ticket, ticket.stream));
    return this.#answer(ticket, disposition);
  }

  interrupted(): void {
    if (this.#host.isClosing) this.#unsettled.giveUp();
  }

  giveUp(error?: Error): void {
    this.#unsettled.giveUp(error);
  }

  settled(): Promise<void> {
    return this.#unsettled.settled();
  }

  async leave(link: NatsLink): Promise<void> {
    // If this fails, the connection is lost, and the leases expire.
    await this.#puller.withdraw().catch(() => {});
    // After its response, no more messages arrive.
    await link.flush().catch(() => {});
    // The messages that have arrived in this turn are released.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#unsettled.send(link);
    // No server takes settlements for a queue that was deleted.
    while (this.#unsettled.isPending && link.isUp && !this.#queue.topology.isDeleting) {
      // While no server takes settlements, requests without a pause would flood the link.
      await new Promise((resolve) => setTimeout(resolve, LEAVE_PAUSE));
      await this.#unsettled.send(link);
    }
  }

  stop(): void {
    this.#unsettled.stop();
    this.#puller.stop();
  }

  #answer(ticket: Ticket, disposition: Disposition): Promise<boolean> {
    const { action, isCounted } = disposition;
    if (!isCounted) this.#released.add(String(ticket.sequence));
    else if (action !== 'requeue') this.#released.delete(String(ticket.sequence));
    return this.#unsettled.settle(ticket, disposition);
  }

  /** Whether the stream was created again while this session requested nothing. */
  async #isRecreated({ manager }: NatsLink): Promise<boolean> {
    const { created } = await manager.streams.info(this.#queue.names.stream);
    this.#puller.confirm();
    return created !== this.#stream;
  }

  /** The stream was created again: settlements of its old messages would settle new ones. */
  #forgetAll(): void {
    const { inFlight } = this.#host;
    for (const token of [...inFlight.ids]) inFlight.recall(token);
    this.#unsettled.clear();
    this.#arrived = [];
    this.nacked.clear();
    this.#released.clear();
  }

  get #credit(): number {
    return this.#host.isClosing ? 0 : this.#host.inFlight.credit;
  }

  /**
   * Whether more messages are requested than the subscribers accept. A smaller credit alone is no
   * reason while messages arrive: they use up the requests, and a server before 2.10 may keep a
   * message that it was about to send until its lease expires.
   */
  get #asksTooMuch(): boolean {
    const { inFlight } = this.#host;
    const hasShrunk = inFlight.acceptsExcess && !inFlight.isPausing;
    return this.#puller.asked > this.#credit && !(hasShrunk && this.#puller.isBusy);
  }

  #pull(): void {
    if (this.#unsettled.isRequeuing) return;
    const credit = this.#credit;
    // Several at a time: a request costs the server as much as a message.
    if (credit > 0 && this.#puller.asked <= credit / 2) this.#puller.pull(credit - this.#puller.asked);
  }

  /** Delivers the messages of a turn in the order of the stream, also requeued ones. */
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
    const ticket = this.#unsettled.begin(message, facts, this.#stream);
    const { names } = this.#queue;
    const { inFlight, isClosing } = this.#host;
    // A server that crashed may have forgotten a settlement, which is sent again.
    if (this.#unsettled.isFinishing(facts.sequence)) return;
    const isForUs = isFor(this.#consumer, names.targetOf(message.subject));
    if (!isForUs || this.#options.sweeper.isSettled(this.#consumer, ticket)) unawaited(this.#answer(ticket, FINISH));
    else if (!inFlight.canDeliver || isClosing) unawaited(this.#answer(ticket, REQUEUE_UNCOUNTED));
    else this.#handOver(ticket, facts);
  }

  #handOver(ticket: Ticket, facts: DeliveryFacts): void {
    const { message, sequence } = ticket;
    const deliveries = Math.max(1, facts.deliveries - this.releasesOf(sequence));
    const content = readMessage(message, { ...facts, deliveries }, this.#queue.names.keyStart(message.subject));
    if (typeof content === 'string') {
      void this.#quarantine(ticket, 'is no message', content);
      return;
    }
    this.nacked.delete(content.token);
    this.#unsettled.keep(content.token, ticket);
    if (this.#host.deliver(content)) return;
    this.#unsettled.end(content.token);
    unawaited(this.#answer(ticket, REQUEUE_UNCOUNTED));
  }

  #isOwn({ subject }: Receipt): boolean {
    return this.#queue.names.targetOf(subject) !== undefined;
  }

  /** Puts a message in quarantine. Resolves to whether that counted. */
  async #quarantine(ticket: Ticket, what: string, reason: string): Promise<boolean> {
    const { names, connection, options } = this.#queue;
    const { name, logger } = options;
    const { message } = ticket;
    const which = `A message on subject ${JSON.stringify(message.subject)} of queue ${JSON.stringify(name)}`;
    try {
      await quarantine(this.#queue, await connection.acquire(), message, reason);
      const counted = await this.#answer(ticket, DROP);
      this.#host.quarantined(which, `${what}: ${reason}`, `the stream ${JSON.stringify(names.quarantine)}`);
      return counted;
    } catch (error) {
      // The lease expires, and the message is redelivered.
      const details = { queue: name, group: this.group };
      const line = `${which} ${what}: ${reason}. It cannot be put in quarantine yet`;
      logger.warn(`${line}: ${describeError(error)}`, details);
      logger.debug(line, { ...details, error });
      return false;
    }
  }

  #lost(reason: string): void {
    const { creates, isDeleting } = this.#queue.topology;
    if (this.#host.isClosing || this.#isMissing) return;
    this.#isMissing = true;
    this.#puller.stop();
    // The queue closes when it is deleted.
    if (isDeleting) return;
    // Otherwise the stream ends with an error if the consumer is missing.
    if (creates) this.#warn(`is gone or has no leader: ${reason}. It is created again if it is missing.`);
    this.#host.failed(new Error(reason), 'retryable');
    this.#host.restart();
  }

  #warn(what: string): void {
    const { name: queue, logger } = this.#queue.options;
    const which = `The consumer of group ${JSON.stringify(this.group)} of queue ${JSON.stringify(queue)}`;
    logger.warn(`${which} ${what}`, { queue, group: this.group });
  }

  /** A settlement or a renewal has failed. After a lost connection, the next link repeats both. */
  #failed(error: unknown): void {
    if (this.#queue.failures.classify(error) === 'retryable') return;
    this.#host.failed(error);
    this.#host.restart();
  }
}
