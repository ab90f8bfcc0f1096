import { createHash } from 'node:crypto';
import { hasOwnId, isRedelivery, type Received } from './message.js';

/**
 * How many different messages to remember: far more than are in flight when a connection is lost.
 */
const MOST = 10_000;

/**
 * How long to remember a message, in milliseconds: longer than a broker takes to restart, or to
 * notice a dead connection.
 */
const LONGEST = 600_000;

interface Entry {
  /** How many messages have this identity. */
  readonly count: number;
  /** As `performance.now()`. */
  readonly until: number;
}

/**
 * Messages that were acknowledged just before their connection ended. The broker may redeliver
 * them.
 */
export class DoneWith {
  /** By identity, in the order of expiry. */
  readonly #entries = new Map<string, Entry>();

  /**
   * Remembers a message, unless another program has published it: another message may be equal to
   * that one.
   */
  add(received: Received): void {
    if (!hasOwnId(received)) return;
    const identity = identityOf(received);
    const count = (this.#entries.get(identity)?.count ?? 0) + 1;
    this.#entries.delete(identity);
    this.#entries.set(identity, { count, until: performance.now() + LONGEST });
    this.#forget();
  }

  /**
   * Returns whether a delivery is one of these messages, and forgets the message: the broker
   * redelivers it once.
   */
  take(received: Received): boolean {
    if (this.#entries.size === 0 || !isRedelivery(received)) return false;
    this.#forget();
    const identity = identityOf(received);
    const entry = this.#entries.get(identity);
    if (entry === undefined) return false;
    if (entry.count === 1) this.#entries.delete(identity);
    else this.#entries.set(identity, { ...entry, count: entry.count - 1 });
    return true;
  }

  /** Forgets expired messages, and the oldest if there are too many. */
  #forget(): void {
    const now = performance.now();
    for (const [identity, { until }] of this.#entries) {
      if (until >= now && this.#entries.size <= MOST) return;
      this.#entries.delete(identity);
    }
  }
}

/** Returns the identity of a message. A copy for a later attempt has another one. */
function identityOf({ place, attempts, original }: Received): string {
  const digest = createHash('sha256')
    .update(original.body as Buffer)
    .digest('base64');
  return `${place.time} ${attempts} ${digest} ${place.id}`;
}
