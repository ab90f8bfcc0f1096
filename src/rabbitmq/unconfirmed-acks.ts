import { createHash } from 'node:crypto';
import { hasOwnId, isRedelivery, type Received } from './message.js';

/** How many acks are remembered: far more than are in flight when a connection is lost. */
const MOST = 10_000;

/** For how long an ack is remembered, in milliseconds: longer than a broker takes to restart. */
const LONGEST = 600_000;

interface Entry {
  /** How many messages have this identity. */
  readonly count: number;
  /** As `performance.now()`. */
  readonly until: number;
}

/** Remembers acks whose connection ended before their confirm: the message may be redelivered. */
export class UnconfirmedAcks {
  /** By identity, in the order of expiry. */
  readonly #entries = new Map<string, Entry>();

  /** Ignores messages of other programs: another message may be equal to such a message. */
  add(received: Received): void {
    if (!hasOwnId(received)) return;
    const identity = identityOf(received);
    const count = (this.#entries.get(identity)?.count ?? 0) + 1;
    this.#entries.delete(identity);
    this.#entries.set(identity, { count, until: performance.now() + LONGEST });
    this.#forgetExpired();
  }

  /** Forgets a redelivered message. Returns whether it was remembered. */
  take(received: Received): boolean {
    if (this.#entries.size === 0 || !isRedelivery(received)) return false;
    this.#forgetExpired();
    const identity = identityOf(received);
    const entry = this.#entries.get(identity);
    if (entry === undefined) return false;
    if (entry.count === 1) this.#entries.delete(identity);
    else this.#entries.set(identity, { ...entry, count: entry.count - 1 });
    return true;
  }

  #forgetExpired(): void {
    const now = performance.now();
    for (const [identity, { until }] of this.#entries) {
      if (until >= now && this.#entries.size <= MOST) return;
      this.#entries.delete(identity);
    }
  }
}

/** A copy for a later attempt has another identity. */
function identityOf({ place, attempts, original }: Received): string {
  const digest = createHash('sha256')
    .update(original.body as Buffer)
    .digest('base64');
  return `${place.time} ${attempts} ${digest} ${place.id}`;
}
