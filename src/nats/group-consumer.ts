import type { Msg } from '@nats-io/transport-node';
import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { Connection } from '../core/connection.js';
import type { DriverDelivery, Settled } from '../core/delivery.js';
import type { DriverConsumer } from '../core/driver.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { FatalErrors } from '../core/fatal-errors.js';
import { InFlight } from '../core/in-flight.js';
import { OwnReleases } from '../core/own-releases.js';
import type { Refusals } from '../core/refusals.js';
import { NOT_COUNTED, unawaited } from '../internal/answers.js';
import { describeError } from '../internal/describe.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { Away } from './away.js';
import { Leases, receiptOf, type Ticket } from './leases.js';
import type { NatsLink } from './link.js';
import { type DeliveryFacts, readMessage } from './message.js';
import { isFor, type QueueNames } from './names.js';
import { heartbeatFor, Puller } from './puller.js';
import { Settling } from './settling.js';
import type { Sweeper } from './sweeper.js';

export interface GroupConsumerOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly group: ConsumerGroup;
  /** In milliseconds. */
  readonly lease: number;
  /** How many bytes may be on their way to this group at a time. */
  readonly share: () => number;
  readonly connection: Connection<NatsLink>;
  /** Sees to it that the stream and the group are there. Resolves to when the stream was made. */
  readonly open: (link: NatsLink) => Promise<string | undefined>;
  /** How large a message was on average when the stream was opened, in bytes, if it held any. */
  readonly messageSize: () => number | undefined;
  /** When the stream was made that is there now. */
  readonly created: (link: NatsLink) => Promise<string>;
  /** Keeps what is no message, for somebody to look at. */
  readonly setAside: (link: NatsLink, message: Msg, reason: string) => Promise<void>;
  readonly sweeper: Sweeper;
  readonly failures: EngineErrors;
  readonly refusals: Refusals;
  readonly fatalErrors: FatalErrors;
  readonly logger: Logger;
}

/** How long the server keeps a request for messages, in milliseconds. */
const EXPIRES = 30_000;

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/**
 * All subscriptions of this process to one group, over a durable pull consumer: it asks for as many messages as there is room for, lends them, keeps their leases,
 * and sends what became of them.
 */
export class GroupConsumer implements DriverConsumer {
  readonly #options: GroupConsumerOptions;
  readonly #inFlight: InFlight;
  readonly #puller: Puller;
  readonly #leases: Leases;
  readonly #settling: Settling;
  readonly #away = new Away();
  /** By place in the stream: the server counts what is released as delivered. */
  readonly #released = new OwnReleases();
  #link: NatsLink | undefined;
  #stream: string | undefined;
  #missing = false;
  #scheduled: NodeJS.Immediate | undefined;
  #working = false;
  /** What has come in this turn. */
  #arrived: { readonly message: Msg; readonly facts: DeliveryFacts }[] = [];
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  #closing = false;

  constructor(options: GroupConsumerOptions) {
    this.#options = options;
    const { queueName, names, group, lease, sweeper, logger } = options;
    this.#inFlight = new InFlight({
      queueName,
      logger,
      onChange: () => this.#poke(),
      onFull: () => this.#poke(),
      settle: (delivery, how, delay, reason) => this.#settle(delivery, how, delay, reason),
    });
    this.#leases = new Leases({
      lease,
      link: () => (options.connection.isReady && options.connection.link === this.#link ? this.#link : undefined),
      onEnded: (token) => this.#inFlight.recall(token),
      onLook: (now) => this.#look(now),
      onMissing: (reason) => this.#lost(reason),
      onFailed: (error) => this.#refused(error),
    });
    this.#settling = new Settling({
      consumer: names.consumer(group),
      sweeper,
      onChange: () => this.#poke(),
      onMissing: (reason) => this.#lost(reason),
      onFailed: (error) => this.#refused(error),
    });
    this.#puller = new Puller({
      stream: names.stream,
      consumer: names.consumer(group),
      expires: EXPIRES,
      share: options.share,
      messageSize: options.messageSize,
      heartbeat: heartbeatFor(lease),
      onMessage: (message, facts) => this.#arrive(message, facts),
      onChange: () => this.#poke(),
      onMissing: (reason) => this.#lost(reason),
      onRefused: (reason) => this.#warn(`has made a request that NATS refuses: ${reason}`),
    });
  }

  /** How many messages are in flight here, or were sent back from here for later and may not be ready yet; and how many of these no other group gets. */
  get kept(): { readonly all: number; readonly own: number } {
    const inFlight = this.#leases.count(({ message }) => this.#isOwn(message));
    return { all: this.#inFlight.size + this.#away.size, own: inFlight + this.#away.own };
  }

  /** Whether somebody here has to do with the group. Where not, it may be deleted, and stays so. */
  get isNeeded(): boolean {
    return this.#inFlight.hasMembers || this.#leases.size > 0 || this.#settling.isPending;
  }

  /** The messages that this process nacked with a delay. */
  get away(): Away {
    return this.#away;
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

  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    this.#inFlight.connect(subscriber, intake);
  }

  /** There is a new connection. */
  reconnected(): void {
    this.#poke();
  }

  /** The stream that is there was made then: begins anew if that is another. */
  recreated(created: string): void {
    if (created === this.#stream) return;
    this.#missing = true;
    this.#poke();
  }

  settled(): Promise<void> {
    return this.#settling.answeredNow();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#inFlight.end();
    clearTimeout(this.#pause);
    this.#pause = undefined;
    const { connection } = this.#options;
    if (connection.isReady && this.#link !== undefined) {
      // If this fails, the connection is lost, and the messages go to another consumer when their leases expire.
      await this.#puller.withdraw().catch(() => {});
      // What was on its way here has come when this is answered, and goes back. A failure means the same.
      await this.#link.flush().catch(() => {});
      this.#poke();
      await this.settled();
    }
    this.abandon();
  }

  abandon(): void {
    this.#closing = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#pause);
    this.#leases.stop();
    this.#puller.stop();
    this.#settling.giveUp();
  }

  #settle({ token }: DriverDelivery, how: Settled, delay: number, reason: string | undefined): Promise<boolean> {
    const ticket = this.#leases.end(token);
    if (ticket === undefined) return NOT_COUNTED;
    if (reason !== undefined) return this.#setAside(ticket, 'is given up', reason);
    if (how === 'retried' && delay > 0)
      this.#away.add(token, delay, receiptOf(ticket.message, ticket, ticket.stream), this.#isOwn(ticket.message));
    return this.#answer(ticket, how, delay);
  }

  /** Sends what became of a delivery, with all that is settled in this turn. */
  #answer(ticket: Ticket, how: Settled, delay: number): Promise<boolean> {
    if (how === 'released') this.#released.add(String(ticket.sequence));
    else if (how !== 'retried') this.#released.delete(String(ticket.sequence));
    const counts = this.#settling.add(ticket, how, delay);
    this.#leases.watch();
    this.#poke();
    return counts;
  }

  /** Looks, at the end of this turn, whether there is something to do: all settlements of a turn travel together. */
  #poke(): void {
    if (this.#scheduled !== undefined || this.#working || this.#pause !== undefined) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      if (this.#hasToDo()) void this.#work();
    });
  }

  #hasToDo(): boolean {
    return (
      this.#settling.isPending ||
      this.#inFlight.hasCredit ||
      this.#inFlight.acceptsExcess ||
      this.#puller.asked > 0 ||
      this.#leases.size > 0
    );
  }

  async #work(): Promise<void> {
    this.#working = true;
    try {
      const link = await this.#options.connection.acquire();
      if (this.#link !== link || this.#missing || (this.#puller.isIdle && (await this.#isAnother(link))))
        await this.#begin(link);
      if (this.#asksTooMuch) await this.#puller.withdraw();
      void this.#settling.send(link);
      this.#pull();
      // What has come in this turn is handed on first.
      if (this.#puller.asked <= this.#room && this.#arrived.length === 0) this.#inFlight.quiet();
      this.#failures = 0;
      this.#options.refusals.end();
      this.#options.fatalErrors.end();
      this.#working = false;
    } catch (error) {
      this.#working = false;
      this.#failed(error);
    }
  }

  /** Begins over a new link, or with a consumer that was made anew. */
  async #begin(link: NatsLink): Promise<void> {
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

  /** Whether the stream was made anew while this consumer asked for nothing, and heard nothing. */
  async #isAnother(link: NatsLink): Promise<boolean> {
    const created = await this.#options.created(link);
    this.#puller.confirm();
    return created !== this.#stream;
  }

  /** The stream is another: what is out is not in it, and an answer to it would be taken for one to another message. */
  #forgetAll(): void {
    for (const token of [...this.#inFlight.ids]) this.#inFlight.recall(token);
    this.#leases.forget();
    this.#arrived = [];
    this.#away.clear();
    this.#released.clear();
    this.#settling.giveUp();
  }

  /** How many messages can be taken. */
  get #room(): number {
    return this.#closing ? 0 : this.#inFlight.credit;
  }

  /**
   * Whether it has asked for more than anybody takes. A credit that shrinks is no reason while messages come: they use up what was asked for, and a server before
   * 2.10 may keep one that it was about to send for as long as the lease.
   */
  get #asksTooMuch(): boolean {
    const shrunk = this.#inFlight.acceptsExcess && !this.#inFlight.isPausing;
    return this.#puller.asked > this.#room && !(shrunk && this.#puller.isBusy);
  }

  #pull(): void {
    if (this.#settling.isReturning) return;
    const room = this.#room;
    // Some at a time: a request costs the server as much as a message.
    if (room > 0 && this.#puller.asked <= room / 2) this.#puller.pull(room - this.#puller.asked);
  }

  /** Messages of a turn are handed on in the order of the stream: what comes again comes in the order in which it went back. */
  #arrive(message: Msg, facts: DeliveryFacts): void {
    if (this.#arrived.push({ message, facts }) > 1) return;
    setImmediate(() => {
      const arrived = this.#arrived.sort((one, other) => one.facts.sequence - other.facts.sequence);
      this.#arrived = [];
      for (const { message, facts } of arrived) this.#deliver(message, facts);
    });
  }

  /** Hands a message to the next subscription in the line; gives it back where there is none any more. */
  #deliver(message: Msg, facts: DeliveryFacts): void {
    const ticket = this.#leases.begin(message, facts, this.#stream);
    const { names, group, sweeper } = this.#options;
    const consumer = names.consumer(group);
    // A server that failed may have forgotten what it was told. It is told again.
    if (this.#settling.isFinishing(facts.sequence)) {
      this.#poke();
    } else if (!isFor(consumer, names.targetOf(message.subject)) || sweeper.isSettled(consumer, ticket)) {
      unawaited(this.#answer(ticket, 'acked', 0));
    } else if (!this.#inFlight.canDeliver || this.#closing) {
      unawaited(this.#answer(ticket, 'released', 0));
    } else {
      const content = readMessage(
        message,
        { ...facts, deliveries: Math.max(1, facts.deliveries - this.#released.of(String(facts.sequence))) },
        names.keyStart(message.subject),
      );
      if (typeof content === 'string') {
        void this.#setAside(ticket, 'is no message', content);
      } else {
        this.#away.delete(content.token);
        this.#leases.keep(content.token, ticket);
        if (this.#inFlight.deliver(content) === undefined) {
          this.#leases.end(content.token);
          unawaited(this.#answer(ticket, 'released', 0));
        }
      }
    }
    this.#poke();
  }

  /** Whether no other group gets a message. */
  #isOwn({ subject }: Msg): boolean {
    return this.#options.names.targetOf(subject) !== undefined;
  }

  /** Resolves to whether the message is in quarantine. */
  async #setAside(ticket: Ticket, what: string, reason: string): Promise<boolean> {
    const { queueName: queue, group, names, logger, setAside } = this.#options;
    const { message } = ticket;
    const which = `A message on subject ${JSON.stringify(message.subject)} of queue ${JSON.stringify(queue)} ${what}: ${reason}.`;
    try {
      await setAside(await this.#options.connection.acquire(), message, reason);
      const counted = await this.#answer(ticket, 'rejected', 0);
      logger.error(`${which} It is in quarantine, in the stream ${JSON.stringify(names.aside)}.`, { queue, group });
      return counted;
    } catch (error) {
      // Its lease ends, and it comes again.
      logger.warn(`${which} It cannot be put in quarantine yet: ${describeError(error)}`, { queue, group });
      logger.debug(`${which} It cannot be put in quarantine yet`, { queue, group, error });
      return false;
    }
  }

  /** The leases are looked at: it is too late for some settlements. Returns whether there are others. */
  #look(now: number): boolean {
    this.#settling.dropLate(now);
    this.#poke();
    return this.#settling.isPending && !this.#closing;
  }

  /** The consumer is gone, or has no leader. */
  #lost(reason: string): void {
    if (this.#closing || this.#missing) return;
    this.#warn(`is gone, or has no leader: ${reason}. Looking for it, and creating it if it is missing.`);
    this.#missing = true;
    this.#puller.stop();
    this.#rest();
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
    if (this.#options.failures.classify(error) !== 'retryable') this.#failed(error);
  }

  /** Work has failed: goes on after a pause, or ends the streams where that would be of no use. */
  #failed(error: unknown): void {
    if (this.#closing) {
      this.#settling.giveUp();
      return;
    }
    const { failures, refusals, fatalErrors } = this.#options;
    const kind = failures.classify(error);
    this.#missing = true;
    if (kind === 'fatal') {
      const explained = failures.explained(error);
      this.#settling.giveUp(explained);
      if (this.#inFlight.hasMembers) fatalErrors.add(explained);
      this.#inFlight.end({ error: explained });
      return;
    }
    // A first refusal may pass at once, as when the stream was just deleted.
    if (kind === 'refused' && this.#failures > 0) refusals.add(error);
    this.#rest();
  }

  #rest(): void {
    this.#failures += 1;
    this.#pause ??= setTimeout(
      () => {
        this.#pause = undefined;
        this.#poke();
      },
      backoff(undefined, this.#failures),
    );
  }
}
