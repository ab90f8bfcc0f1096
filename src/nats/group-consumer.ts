import type { Msg } from '@nats-io/transport-node';
import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery } from '../backend.js';
import type { Intake } from '../bridge/delivery-stream.js';
import type { BrokerConsumer } from '../broker/broker-backend.js';
import type { Connection } from '../broker/connection.js';
import type { LentDelivery, Settled } from '../broker/delivery.js';
import type { Failures } from '../broker/failures.js';
import { LeaseKeeper } from '../broker/lease-keeper.js';
import { Loans } from '../broker/loans.js';
import { type Settlement, Settlements } from '../broker/settlements.js';
import { NOT_COUNTED, unawaited } from '../internal/answers.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { ACK, IN_PROGRESS, nak, TERMINATE } from './answers.js';
import { isUnanswered, type NatsLink } from './link.js';
import { type DeliveryFacts, readMessage } from './message.js';
import type { QueueNames } from './names.js';
import { Puller } from './puller.js';
import type { Sweeper } from './sweeper.js';

export interface GroupConsumerOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly group: ConsumerGroup;
  /** In milliseconds. */
  readonly lease: number;
  readonly connection: Connection<NatsLink>;
  /** Sees to it that the stream and the group are there. Resolves to when the stream was made. */
  readonly open: (link: NatsLink) => Promise<string | undefined>;
  /** Keeps what is no message, for somebody to look at. */
  readonly setAside: (link: NatsLink, message: Msg, reason: string) => Promise<void>;
  readonly sweeper: Sweeper;
  readonly failures: Failures;
  readonly logger: Logger;
}

/** A delivery, as the server knows it. */
interface Ticket {
  /** Where it is answered. */
  readonly reply: string;
  /** Its place in the stream. */
  readonly sequence: number;
  /** Until when nobody else gets it, by the clock of `performance`. */
  until: number;
}

interface Verdict extends Ticket {
  readonly how: Settled;
  /** In milliseconds, from when it was settled. */
  readonly delay: number;
}

/** How many settlements go together at most. */
const MOST = 1000;

/** How often the server has to be heard of, at most and at least, in milliseconds. */
const LEAST_HEARTBEAT = 500;
const MOST_HEARTBEAT = 5000;

/** What is left of a lease, as a share of it, when it is time to renew it. */
const RENEWED = 0.75;

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/**
 * All subscriptions of this process to one group, over a durable pull consumer.
 *
 * It asks for as many messages as there is room for. What was settled in a turn travels together, and the server confirms the last of it: it takes the
 * answers to one consumer in their order, so that one confirmation is that of all. Settlements belong to no connection: those that were not confirmed are sent
 * again over the next, while their leases last.
 */
export class GroupConsumer implements BrokerConsumer {
  readonly #options: GroupConsumerOptions;
  readonly #loans: Loans;
  readonly #settlements = new Settlements<Verdict>((one, other) => Number(one) - Number(other));
  readonly #puller: Puller;
  readonly #keeper: LeaseKeeper;
  /** What is out, by id. */
  readonly #tickets = new Map<string, Ticket>();
  /** What this process has sent back for later, and when it falls due by the clock of `performance`. */
  readonly #away = new Map<string, number>();
  readonly #prefix: number;
  #link: NatsLink | undefined;
  #stream: string | undefined;
  #missing = false;
  #scheduled: NodeJS.Immediate | undefined;
  #working = false;
  #travelling = false;
  /** How many settlements are not confirmed by which something goes back: what is asked for before they are would come before it. */
  #returning = 0;
  /** The places of messages that are done with, of which the server has not confirmed that it knows. */
  readonly #finishing = new Set<number>();
  /** What has come in this turn. */
  #arrived: { readonly message: Msg; readonly facts: DeliveryFacts }[] = [];
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  #closing = false;

  constructor(options: GroupConsumerOptions) {
    this.#options = options;
    const { queueName, names, group, lease, logger } = options;
    this.#prefix = names.messages.length - 1;
    this.#loans = new Loans({
      queueName,
      logger,
      onChange: () => this.#poke(),
      onFull: () => this.#poke(),
      settle: (delivery, how, delay) => this.#settle(delivery, how, delay),
    });
    this.#keeper = new LeaseKeeper(lease, () => this.#renew());
    this.#puller = new Puller({
      stream: names.stream,
      consumer: names.consumer(group),
      heartbeat: Math.min(MOST_HEARTBEAT, Math.max(LEAST_HEARTBEAT, lease / 3)),
      onMessage: (message, facts) => this.#arrive(message, facts),
      onChange: () => this.#poke(),
      onMissing: (reason) => this.#lost(reason),
    });
  }

  /** How many messages are out here, and how many were sent back from here for later. */
  get kept(): { readonly out: number; readonly away: number } {
    this.#forgetDue();
    return { out: this.#loans.size, away: this.#away.size };
  }

  connect(subscriber: Subscriber<Delivery>, intake: Intake): void {
    this.#loans.connect(subscriber, intake);
  }

  /** There is a new connection. */
  reconnected(): void {
    this.#poke();
  }

  settled(): Promise<void> {
    return this.#settlements.answeredNow();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#loans.end();
    clearTimeout(this.#pause);
    this.#pause = undefined;
    const { connection } = this.#options;
    if (connection.isReady && this.#link !== undefined) {
      await this.#puller.withdraw().catch(() => {});
      // What was on its way here has come when this is answered, and goes back.
      await this.#link.connection.flush().catch(() => {});
      this.#poke();
      await this.settled();
    }
    this.abandon();
  }

  abandon(): void {
    this.#closing = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#pause);
    this.#keeper.stop();
    this.#puller.stop();
    this.#settlements.giveUp(({ resolve }) => resolve(false));
  }

  #settle({ id }: LentDelivery, how: Settled, delay: number): Promise<boolean> {
    const ticket = this.#tickets.get(id);
    this.#tickets.delete(id);
    if (ticket === undefined || ticket.until < performance.now()) return NOT_COUNTED;
    if (how === 'retried' && delay > 0) {
      this.#forgetDue();
      this.#away.set(id, performance.now() + delay);
    }
    return this.#answer(ticket, how, delay);
  }

  /** Sends what became of a delivery, with all that is settled in this turn. */
  #answer(ticket: Ticket, how: Settled, delay: number): Promise<boolean> {
    const counts = this.#settlements.add(String(ticket.sequence), { ...ticket, how, delay });
    if (isDone({ how })) this.#finishing.add(ticket.sequence);
    else if (delay === 0) {
      this.#returning += 1;
      const back = () => {
        this.#returning -= 1;
        this.#poke();
      };
      void counts.then(back, back);
    }
    this.#keeper.keep(true);
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
    return this.#settlements.size > 0 || this.#loans.hasRoom || this.#puller.asked > 0 || this.#tickets.size > 0;
  }

  async #work(): Promise<void> {
    this.#working = true;
    try {
      const link = await this.#options.connection.acquire();
      if (this.#link !== link || this.#missing) await this.#begin(link);
      if (this.#puller.asked > this.#room) await this.#puller.withdraw();
      if (!this.#travelling && this.#settlements.size > 0) void this.#sendSettlements(link);
      this.#pull();
      this.#failures = 0;
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
    this.#missing = false;
    this.#link = link;
    this.#puller.start(link);
    this.#renew();
  }

  /** The stream is another: what is out is not in it, and an answer to it would be taken for one to another message. */
  #forgetAll(): void {
    for (const id of [...this.#loans.ids]) this.#loans.recall(id);
    this.#tickets.clear();
    this.#away.clear();
    this.#finishing.clear();
    this.#options.sweeper.forget();
    this.#settlements.giveUp(({ resolve }) => resolve(false));
  }

  /** How many messages can be taken. */
  get #room(): number {
    return this.#closing ? 0 : this.#loans.room;
  }

  #pull(): void {
    if (this.#returning > 0) return;
    const room = this.#room;
    // Some at a time: a request costs the server as much as a message.
    if (room > 0 && this.#puller.asked <= room / 2) this.#puller.pull(room - this.#puller.asked);
  }

  async #sendSettlements(link: NatsLink): Promise<void> {
    this.#travelling = true;
    const now = performance.now();
    const settlements = this.#settlements.take(MOST);
    const late = new Set(settlements.filter((settlement) => isLate(settlement, now)));
    const sent = settlements.filter((settlement) => !late.has(settlement));
    try {
      const last = sent.pop();
      for (const settlement of sent) link.connection.publish(settlement.verdict.reply, answerFor(settlement));
      const answer = last && (await link.request(last.verdict.reply, answerFor(last)));
      if (answer !== undefined && isUnanswered(answer)) {
        // The server is going down, or the group is gone: they are sent again when it is back.
        this.#settlements.putBack({ again: true });
        this.#lost('nobody takes its settlements');
      } else {
        for (const settlement of settlements) {
          const { verdict } = settlement;
          this.#finishing.delete(verdict.sequence);
          if (isDone(verdict) && !late.has(settlement)) this.#options.sweeper.settled(this.#options.group, verdict.sequence);
        }
        this.#settlements.answered((settlement) => !late.has(settlement));
      }
    } catch {
      this.#settlements.putBack({ again: true });
    }
    this.#travelling = false;
    this.#poke();
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
    const ticket = { reply: message.reply ?? '', sequence: facts.sequence, until: performance.now() + this.#options.lease };
    const { group, sweeper } = this.#options;
    // A server that failed may have forgotten what it was told. It is told again.
    if (this.#finishing.has(facts.sequence)) {
      this.#poke();
    } else if (sweeper.isSettled(group, facts.sequence)) {
      unawaited(this.#answer(ticket, 'acked', 0));
    } else if (!this.#loans.hasRoom || this.#closing) {
      unawaited(this.#answer(ticket, 'released', 0));
    } else {
      const content = readMessage(message, facts, this.#prefix);
      if (typeof content === 'string') {
        void this.#setAside(message, ticket, content);
      } else {
        this.#away.delete(content.id);
        this.#tickets.set(content.id, ticket);
        this.#keeper.keep(true);
        this.#loans.lend(content);
      }
    }
    this.#poke();
  }

  async #setAside(message: Msg, ticket: Ticket, reason: string): Promise<void> {
    const { queueName, names, logger, setAside } = this.#options;
    try {
      await setAside(await this.#options.connection.acquire(), message, reason);
      await this.#answer(ticket, 'rejected', 0);
      logger.error(
        `A message on subject "${message.subject}" of queue "${queueName}" is no message: ${reason}. It was moved aside, into the stream "${names.aside}".`,
      );
    } catch (error) {
      // Its lease ends, and it comes again.
      logger.warn(
        `A message on subject "${message.subject}" of queue "${queueName}" is no message, and could not be moved aside yet: ${reason}`,
        error,
      );
    }
  }

  /** Tells the server which deliveries are still worked on; lets go of those whose lease has ended. */
  #renew(): void {
    const now = performance.now();
    const { lease, connection } = this.#options;
    for (const [id, { until }] of this.#tickets) {
      if (until >= now) continue;
      this.#tickets.delete(id);
      this.#loans.recall(id);
    }
    this.#settlements.drop((settlement) => {
      const late = isLate(settlement, now);
      if (late) this.#finishing.delete(settlement.verdict.sequence);
      return late;
    });
    const link = this.#link;
    if (link !== undefined && connection.link === link && connection.isReady) {
      const due = [...this.#tickets.values()].filter(({ until }) => until - now < lease * RENEWED);
      void this.#sendRenewals(link, due, now + lease);
    }
    this.#keeper.keep(this.#tickets.size + this.#settlements.size > 0 && !this.#closing);
    this.#poke();
  }

  async #sendRenewals(link: NatsLink, tickets: readonly Ticket[], until: number): Promise<void> {
    const last = tickets.at(-1);
    if (last === undefined) return;
    try {
      for (const ticket of tickets) if (ticket !== last) link.connection.publish(ticket.reply, IN_PROGRESS);
      const answer = await link.request(last.reply, IN_PROGRESS);
      if (isUnanswered(answer)) this.#lost('nobody renews its leases');
      else for (const ticket of tickets) ticket.until = until;
    } catch {
      // Tried again with the next renewal; until then the lease goes on.
    }
  }

  #forgetDue(): void {
    const now = performance.now();
    for (const [id, due] of this.#away) if (due <= now) this.#away.delete(id);
  }

  /** The consumer is gone, or has no leader. */
  #lost(reason: string): void {
    if (this.#closing || this.#missing) return;
    const { queueName, group, logger } = this.#options;
    logger.warn(
      `The consumer of group "${group}" of queue "${queueName}" is gone, or without a leader: ${reason}. It is looked for, and made anew if need be.`,
    );
    this.#missing = true;
    this.#puller.stop();
    this.#rest();
  }

  /** Work has failed: goes on after a pause, or ends the streams where that would be of no use. */
  #failed(error: unknown): void {
    if (this.#closing) {
      this.#settlements.giveUp(({ resolve }) => resolve(false));
      return;
    }
    const { failures, logger } = this.#options;
    const outlook = failures.outlookOf(error);
    this.#missing = true;
    if (outlook === 'hopeless') {
      const explained = failures.explained(error);
      this.#finishing.clear();
      this.#settlements.giveUp(({ reject }) => reject(explained));
      if (this.#loans.hasMembers) logger.error(explained.message, error);
      this.#loans.end({ error: explained });
      return;
    }
    if (outlook === 'refused' && this.#failures === 1)
      logger.warn(`NATS refuses to serve queue "${this.#options.queueName}", trying again until it does`, error);
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

/**
 * Whether the lease of a delivery has ended before its settlement was sent. One that was sent before may have counted then, and is sent again in any case: the
 * worst that a second `ack` can do is to spare somebody the same work.
 */
function isLate({ verdict: { until, how }, again }: Settlement<Verdict>, now: number): boolean {
  return until < now && !(again && isDone({ how }));
}

/** Whether nobody has to handle the message again. */
function isDone({ how }: Pick<Verdict, 'how'>): boolean {
  return how === 'acked' || how === 'rejected';
}

function answerFor({ verdict, settledAt }: Settlement<Verdict>): string {
  const { how, delay } = verdict;
  if (how === 'acked') return ACK;
  if (how === 'rejected') return TERMINATE;
  return nak(delay === 0 ? 0 : settledAt + delay - performance.now());
}
