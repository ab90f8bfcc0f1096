import { createHash } from 'node:crypto';
import { hasOwnId, isRedelivery, type Received } from './message.js';

/** How many different messages it remembers: far more than are in flight when a connection is lost. */
const MOST = 10_000;

/** How long it remembers a message, in milliseconds: longer than a broker takes to restart, or to notice that a connection is dead. */
const LONGEST = 600_000;

interface Entry {
  /** How many such messages there are. */
  readonly count: number;
  /** By the clock of `performance`. */
  readonly until: number;
}

/** Messages that were acknowledged here just when their connection ended. The broker may not know, and redeliver them. */
export class DoneWith {
  /** By identity, in the order in which they expire. */
  readonly #entries = new Map<string, Entry>();

  /** Adds a message. One with an id of another program is not remembered, since another message may be equal to it. */
  add(received: Received): void {
    if (!hasOwnId(received)) return;
    const identity = identityOf(received);
    const count = (this.#entries.get(identity)?.count ?? 0) + 1;
    this.#entries.delete(identity);
    this.#entries.set(identity, { count, until: performance.now() + LONGEST });
    this.#forget();
  }

  /** Whether a delivery is one of these messages. Each is found once: the broker redelivers it once. */
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

  /** Removes what has expired, and the oldest of what is too many. */
  #forget(): void {
    const now = performance.now();
    for (const [identity, { until }] of this.#entries) {
      if (until >= now && this.#entries.size <= MOST) return;
      this.#entries.delete(identity);
    }
  }
}

/** Identifies a message. A copy for a later attempt has another identity. */
function identityOf({ place, attempts, original }: Received): string {
  const digest = createHash('sha256')
    .update(original.body as Buffer)
    .digest('base64');
  return `${place.time} ${attempts} ${digest} ${place.id}`;
}
