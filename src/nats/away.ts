import { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { Receipt } from './leases.js';

/**
 * What a nack with a delay requeues: the server may deliver it this many milliseconds after its time, since it looks at some of them later, and more where it is busy.
 * What is more than `most` counts as ready.
 */
const LIMITS = { most: 100_000, lateness: 250 };

/** The messages of a group that this process nacked with a delay, by token. */
export class Away {
  readonly #all = new DelayedInTransit(LIMITS);
  /** Those of them that no other group gets. */
  readonly #own = new DelayedInTransit(LIMITS);
  readonly #receipts = new Map<string, Receipt>();

  get size(): number {
    return this.#all.size;
  }

  get own(): number {
    return this.#own.size;
  }

  /** Where they were delivered. */
  get receipts(): Receipt[] {
    return [...this.#receipts].filter(([token]) => this.dueAt(token) !== undefined).map(([, receipt]) => receipt);
  }

  /** When a message is due, by the clock of `performance`. Undefined if it is not known. */
  dueAt(token: string): number | undefined {
    return this.#all.dueAt(token);
  }

  /** @param isOwn whether no other group gets the message */
  add(token: string, delay: number, receipt: Receipt, isOwn: boolean): void {
    this.#all.add(token, delay);
    if (isOwn) this.#own.add(token, delay);
    if (this.dueAt(token) === undefined) return;
    this.#receipts.set(token, receipt);
    if (this.#receipts.size > 2 * this.#all.size)
      for (const known of this.#receipts.keys()) if (this.dueAt(known) === undefined) this.#receipts.delete(known);
  }

  delete(token: string): void {
    this.#all.delete(token);
    this.#own.delete(token);
    this.#receipts.delete(token);
  }

  clear(): void {
    this.#all.clear();
    this.#own.clear();
    this.#receipts.clear();
  }
}
