import type { Msg } from '@nats-io/transport-node';
import { LeaseTimer } from '../core/lease-timer.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { Place } from './message.js';

export type Answer = Uint8Array | string;

// They are bytes, since the client would encode a text for each message.
export const ACK = Buffer.from('+ACK');
export const IN_PROGRESS = Buffer.from('+WPI');
export const TERMINATE = Buffer.from('+TERM');

const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** The longest delay that the server can count, in milliseconds: about 285 years. */
const LONGEST_DELAY = 9e12;

/** Returns the answer that requeues a message after a delay in milliseconds. */
export function nak(delay: number): string {
  if (delay <= 0) return '-NAK';
  return `-NAK {"delay":${Math.ceil(Math.min(delay, LONGEST_DELAY) * NANOSECONDS_PER_MILLISECOND)}}`;
}

/**
 * Answers deliveries of one consumer. The server handles the answers in order, so its response to
 * the last one confirms all.
 */
export function answerAll<Item>(
  link: NatsLink,
  items: readonly Item[],
  replyOf: (item: Item) => string,
  answerTo: (item: Item) => Answer,
): Promise<Msg | undefined> {
  const last = items.at(-1);
  if (last === undefined) return Promise.resolve(undefined);
  for (const item of items) if (item !== last) link.publish(replyOf(item), answerTo(item));
  return link.request(replyOf(last), answerTo(last));
}

export interface Receipt extends Place {
  readonly subject: string;
  /** The subject of its answers. */
  readonly reply: string;
  /** When its stream was created. */
  readonly stream: string | undefined;
}

export interface Ticket extends Receipt {
  readonly message: Msg;
  /** When the lease expires, as `performance.now()`. */
  until: number;
}

export interface LeasesOptions {
  /** In milliseconds. */
  readonly lease: number;
  /** Returns the current link if it is ready. */
  readonly link: () => NatsLink | undefined;
  readonly onExpired: (token: string) => void;
  /** Checks the leases of settlements. Returns whether to check again. */
  readonly onCheck: (now: number) => boolean;
  /** No consumer has received the renewals. */
  readonly onMissing: (reason: string) => void;
  /** The renewals are not confirmed. The leases last until the next attempt. */
  readonly onFailed: (error: unknown) => void;
}

/** The rest of a lease below which it is renewed, as a share. */
const RENEWED_BELOW = 0.75;

/** Renews the leases of messages in flight. On JetStream, each message has its own. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #timer: LeaseTimer;
  /** By token. */
  readonly #tickets = new Map<string, Ticket>();

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#timer = new LeaseTimer(options.lease, () => this.renew());
  }

  get size(): number {
    return this.#tickets.size;
  }

  get tickets(): Iterable<Ticket> {
    return this.#tickets.values();
  }

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

  has(token: string): boolean {
    return this.#tickets.has(token);
  }

  keep(token: string, ticket: Ticket): void {
    this.#tickets.set(token, ticket);
    this.watch();
  }

  watch(): void {
    this.#timer.keep(true);
  }

  /** Ends a lease. Returns its ticket unless it has expired. */
  end(token: string): Ticket | undefined {
    const ticket = this.#tickets.get(token);
    this.#tickets.delete(token);
    return ticket !== undefined && ticket.until >= performance.now() ? ticket : undefined;
  }

  renew(): void {
    const now = performance.now();
    const { lease, link, onExpired, onCheck } = this.#options;
    for (const [token, { until }] of this.#tickets) {
      if (until >= now) continue;
      this.#tickets.delete(token);
      onExpired(token);
    }
    const current = link();
    if (current !== undefined) {
      const due = [...this.#tickets.values()].filter(({ until }) => until - now < lease * RENEWED_BELOW);
      void this.#send(current, due, now + lease);
    }
    const again = onCheck(now);
    this.#timer.keep(this.#tickets.size > 0 || again);
  }

  clear(): void {
    this.#tickets.clear();
  }

  stop(): void {
    this.#timer.stop();
  }

  async #send(link: NatsLink, tickets: readonly Ticket[], until: number): Promise<void> {
    try {
      const response = await answerAll(link, tickets, replyOf, () => IN_PROGRESS);
      if (response !== undefined && isUnanswered(response)) this.#options.onMissing('nothing renews its leases');
      else for (const ticket of tickets) ticket.until = until;
    } catch (error) {
      this.#options.onFailed(error);
    }
  }
}

function replyOf({ reply }: Receipt): string {
  return reply;
}

export function receiptOf({ subject, reply = '' }: Msg, { sequence, storedAt }: Place, stream?: string): Receipt {
  return { subject, reply, sequence, storedAt, stream };
}
