import type { Msg } from '@nats-io/transport-node';
import { LeaseTimer } from '../core/lease-timer.js';
import { IN_PROGRESS } from './answers.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { DeliveryFacts } from './message.js';

/** A delivery, as the server knows it. */
export interface Receipt {
  readonly subject: string;
  /** The subject on which it is settled. */
  readonly reply: string;
  /** Its sequence number in the stream. */
  readonly sequence: number;
  /** When the server stored it, in milliseconds since the epoch. */
  readonly storedAt: number;
  /** When that stream was made. */
  readonly stream: string | undefined;
}

/** The lease of a delivery that is in flight. */
export interface Ticket extends Receipt {
  /** The message as it arrived, in case it is quarantined. */
  readonly message: Msg;
  /** When the lease expires, by the clock of `performance`. */
  until: number;
}

export interface LeasesOptions {
  /** In milliseconds. */
  readonly lease: number;
  /** The link of now, while there is one. */
  readonly link: () => NatsLink | undefined;
  /** A lease has expired. */
  readonly onEnded: (token: string) => void;
  /** Checks the leases of settlements, too. Returns whether to check again. */
  readonly onLook: (now: number) => boolean;
  /** Nothing renews the leases. */
  readonly onMissing: (reason: string) => void;
  /** A renewal was not confirmed. The leases last until the next one. */
  readonly onFailed: (error: unknown) => void;
}

/** What is left of a lease, as a share of it, when it is time to renew it. */
const RENEWED = 0.75;

/** Renews the leases of messages in flight. JetStream has one for each message. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #keeper: LeaseTimer;
  /** By token. */
  readonly #tickets = new Map<string, Ticket>();

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#keeper = new LeaseTimer(options.lease, () => this.renew());
  }

  get size(): number {
    return this.#tickets.size;
  }

  count(condition: (ticket: Ticket) => boolean): number {
    let count = 0;
    for (const ticket of this.#tickets.values()) if (condition(ticket)) count += 1;
    return count;
  }

  /** Creates the lease of a message that has just arrived. */
  begin(message: Msg, { sequence, storedAt }: DeliveryFacts, stream: string | undefined): Ticket {
    return {
      // No spread: this is done for each message.
      subject: message.subject,
      reply: message.reply ?? '',
      sequence,
      storedAt,
      stream,
      message,
      until: performance.now() + this.#options.lease,
    };
  }

  has(token: string): boolean {
    return this.#tickets.has(token);
  }

  /** A message is in flight. */
  keep(token: string, ticket: Ticket): void {
    this.#tickets.set(token, ticket);
    this.watch();
  }

  /** Checks the leases in time. */
  watch(): void {
    this.#keeper.keep(true);
  }

  /** Removes the lease of a message that is settled. Returns it unless it has expired. */
  end(token: string): Ticket | undefined {
    const ticket = this.#tickets.get(token);
    this.#tickets.delete(token);
    return ticket !== undefined && ticket.until >= performance.now() ? ticket : undefined;
  }

  /** Renews the leases, and drops those that have expired. */
  renew(): void {
    const now = performance.now();
    const { lease, link, onEnded, onLook } = this.#options;
    for (const [token, { until }] of this.#tickets) {
      if (until >= now) continue;
      this.#tickets.delete(token);
      onEnded(token);
    }
    const connected = link();
    if (connected !== undefined) {
      const due = [...this.#tickets.values()].filter(({ until }) => until - now < lease * RENEWED);
      void this.#send(connected, due, now + lease);
    }
    const again = onLook(now);
    this.#keeper.keep(this.#tickets.size > 0 || again);
  }

  /** The messages in flight are of another stream. */
  forget(): void {
    this.#tickets.clear();
  }

  stop(): void {
    this.#keeper.stop();
  }

  async #send(link: NatsLink, tickets: readonly Ticket[], until: number): Promise<void> {
    const last = tickets.at(-1);
    if (last === undefined) return;
    try {
      for (const ticket of tickets) if (ticket !== last) link.publish(ticket.reply, IN_PROGRESS);
      const answer = await link.request(last.reply, IN_PROGRESS);
      if (isUnanswered(answer)) this.#options.onMissing('nothing renews its leases');
      else for (const ticket of tickets) ticket.until = until;
    } catch (error) {
      this.#options.onFailed(error);
    }
  }
}

export function receiptOf(
  { subject, reply = '' }: Msg,
  { sequence, storedAt }: Pick<DeliveryFacts, 'sequence' | 'storedAt'>,
  stream: string | undefined,
): Receipt {
  return { subject, reply, sequence, storedAt, stream };
}
