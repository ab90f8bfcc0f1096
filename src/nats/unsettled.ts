import type { Msg } from '@nats-io/transport-node';
import type { Disposition } from '../core/base-delivery.js';
import { LeaseTimer } from '../core/lease-timer.js';
import { type PendingSettlement, SettlementQueue } from '../core/settlement-queue.js';
import { ACK, type Answer, answerAll, IN_PROGRESS, nak, type Receipt, TERMINATE } from './answers.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { Place } from './message.js';
import type { Sweeper } from './sweeper.js';

/** A delivery with a lease. */
export interface Ticket extends Receipt {
  readonly message: Msg;
  /** When the lease expires, as `performance.now()`. */
  until: number;
}

interface Settled {
  readonly ticket: Ticket;
  readonly disposition: Disposition;
}

type Pending = PendingSettlement<Settled>;

export interface UnsettledOptions {
  /** In milliseconds. */
  readonly lease: number;
  readonly consumer: string;
  readonly sweeper: Sweeper;
  /** Returns the current link if it is ready. */
  readonly link: () => NatsLink | undefined;
  /** The lease of a message in flight has expired. */
  readonly onExpired: (token: string) => void;
  /** There are settlements to send, or fewer than before. */
  readonly onChange: () => void;
  /** No consumer has received the renewals or settlements. */
  readonly onMissing: (reason: string) => void;
  /** Renewals or settlements are not confirmed. Both are sent again. */
  readonly onFailed: (error: unknown) => void;
}

/** The rest of a lease below which it is renewed, as a share. */
const RENEWED_BELOW = 0.75;

/** How many settlements are sent at a time. */
const BATCH = 1000;

/**
 * The unsettled deliveries of a group. Renews the lease of each message in flight, and sends
 * settlements. Sends an unconfirmed ack or reject again over the next link.
 */
export class Unsettled {
  readonly #options: UnsettledOptions;
  readonly #timer: LeaseTimer;
  /** The messages in flight, by token. */
  readonly #tickets = new Map<string, Ticket>();
  readonly #settlements = new SettlementQueue<Settled>((one, other) => Number(one) - Number(other));
  /** The sequence numbers of the unconfirmed acks and rejects. */
  readonly #finishing = new Set<number>();
  #requeuing = 0;
  #sending: Promise<void> | undefined;

  constructor(options: UnsettledOptions) {
    this.#options = options;
    this.#timer = new LeaseTimer(options.lease, () => this.renew());
  }

  /** The messages in flight. */
  get tickets(): ReadonlyMap<string, Ticket> {
    return this.#tickets;
  }

  /** Whether a settlement waits to be sent. */
  get isPending(): boolean {
    return this.#settlements.size > 0;
  }

  /** Whether a requeue is unconfirmed: a request for messages would get later messages first. */
  get isRequeuing(): boolean {
    return this.#requeuing > 0;
  }

  /** Whether the ack or reject of a message is unconfirmed. */
  isFinishing(sequence: number): boolean {
    return this.#finishing.has(sequence);
  }

  /** Creates the ticket of a message that has just arrived. */
  begin(message: Msg, { sequence, storedAt }: Place, stream: string | undefined): Ticket {
    return {
      // No spread: this runs for each message.
      subject: message.subject,
      reply: message.reply ?? '',
      sequence,
      storedAt,
      stream,
      message,
      until: performance.now() + this.#options.lease,
    };
  }

  /** The message is in flight. */
  keep(token: string, ticket: Ticket): void {
    this.#tickets.set(token, ticket);
    this.#timer.keep(true);
  }

  /** The message is no longer in flight. Returns its ticket unless the lease has expired. */
  end(token: string): Ticket | undefined {
    const ticket = this.#tickets.get(token);
    this.#tickets.delete(token);
    return ticket !== undefined && ticket.until >= performance.now() ? ticket : undefined;
  }

  /** Settles a message with all others of this turn. Resolves to whether that counted. */
  settle(ticket: Ticket, disposition: Disposition): Promise<boolean> {
    const counts = this.#settlements.add(String(ticket.sequence), { ticket, disposition });
    if (isFinal(disposition)) this.#finishing.add(ticket.sequence);
    else if (disposition.delay === 0) {
      this.#requeuing += 1;
      const requeued = () => {
        this.#requeuing -= 1;
        this.#options.onChange();
      };
      // The caller gets the error.
      void counts.then(requeued, requeued);
    }
    this.#timer.keep(true);
    this.#options.onChange();
    return counts;
  }

  /** Sends the pending settlements when those before are confirmed. */
  send(link: NatsLink): Promise<void> {
    if (this.#sending === undefined && this.isPending) {
      this.#sending = this.#send(link).then(() => {
        this.#sending = undefined;
        this.#options.onChange();
      });
    }
    return this.#sending ?? Promise.resolve();
  }

  /** Renews the leases, and drops the expired ones. */
  renew(): void {
    const now = performance.now();
    const { lease, link, onExpired, onChange } = this.#options;
    for (const [token, { until }] of this.#tickets) {
      if (until >= now) continue;
      this.#tickets.delete(token);
      onExpired(token);
    }
    this.#dropLate(now);
    onChange();
    const current = link();
    if (current !== undefined) {
      const due = [...this.#tickets.values()].filter(({ until }) => until - now < lease * RENEWED_BELOW);
      void this.#renew(current, due, now + lease);
    }
    this.#timer.keep(this.#tickets.size > 0 || this.isPending);
  }

  /** The messages in flight are of another stream. */
  clear(): void {
    this.#tickets.clear();
    this.giveUp();
  }

  /** Rejects the settlements with an error. Without an error, resolves them to `false`. */
  giveUp(error?: unknown): void {
    this.#finishing.clear();
    this.#settlements.giveUp(({ resolve, reject }) => (error === undefined ? resolve(false) : reject(error)));
  }

  /** Resolves when all settlements of now are confirmed. */
  settled(): Promise<void> {
    return this.#settlements.confirmedNow();
  }

  stop(): void {
    this.#timer.stop();
  }

  async #renew(link: NatsLink, tickets: readonly Ticket[], until: number): Promise<void> {
    try {
      const response = await answerAll(link, tickets, replyOf, () => IN_PROGRESS);
      if (response !== undefined && isUnanswered(response)) this.#options.onMissing('no server renews its leases');
      else for (const ticket of tickets) ticket.until = until;
    } catch (error) {
      this.#options.onFailed(error);
    }
  }

  async #send(link: NatsLink): Promise<void> {
    this.#dropLate(performance.now());
    const settlements = this.#settlements.take(BATCH);
    const { isUp } = link;
    try {
      const response = await answerAll(link, settlements, replyToSettlement, answerTo);
      if (response !== undefined && isUnanswered(response)) {
        // The server shuts down, or the group is gone. They are sent again when it is back.
        this.#putBack(settlements.slice(0, -1), { again: true });
        this.#options.onMissing('no server takes its settlements');
      } else this.#confirmed(settlements);
    } catch (error) {
      this.#putBack(isUp ? settlements : [], { again: isUp });
      this.#options.onFailed(error);
    }
  }

  #confirmed(settlements: readonly Pending[]): void {
    const { consumer, sweeper } = this.#options;
    for (const { action } of settlements) {
      const { disposition, ticket } = action;
      this.#finishing.delete(ticket.sequence);
      if (isFinal(disposition)) sweeper.settled(consumer, ticket);
    }
    this.#settlements.answered(() => true);
  }

  /**
   * Puts unconfirmed settlements back, except requeues that were sent. If the server has carried
   * one out, another consumer may have the message in flight, and would lose it to a second
   * requeue. If not, the lease expires.
   */
  #putBack(sent: readonly Pending[], { again }: { readonly again: boolean }): void {
    const requeues = new Set(sent.filter(({ action }) => !isFinal(action.disposition)));
    this.#settlements.putBack({ again });
    // `drop` resolves the others to `false`.
    for (const { resolve } of requeues) resolve(true);
    this.#settlements.drop((settlement) => requeues.has(settlement));
  }

  /** Drops the unsent settlements whose leases have expired. */
  #dropLate(now: number): void {
    this.#settlements.drop((settlement) => {
      const isLate = isExpired(settlement, now);
      if (isLate) this.#finishing.delete(settlement.action.ticket.sequence);
      return isLate;
    });
  }
}

/** Keeps an ack that was sent before: it may have counted. */
function isExpired({ action: { ticket, disposition }, again }: Pending, now: number): boolean {
  return ticket.until < now && !(again && isFinal(disposition));
}

/** Whether the message is not redelivered. */
function isFinal({ action }: Disposition): boolean {
  return action !== 'requeue';
}

function replyOf({ reply }: Receipt): string {
  return reply;
}

function replyToSettlement({ action }: Pending): string {
  return action.ticket.reply;
}

function answerTo({ action: { disposition }, settledAt }: Pending): Answer {
  const { action, delay } = disposition;
  if (action === 'finish') return ACK;
  if (action === 'drop') return TERMINATE;
  return nak(delay === 0 ? 0 : settledAt + delay - performance.now());
}
