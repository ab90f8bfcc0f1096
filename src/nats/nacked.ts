import { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { Receipt } from './answers.js';

/** A busy server redelivers later than the delay. Messages beyond `most` count as ready. */
const LIMITS = { most: 100_000, lateness: 250 };

export class Nacked {
  readonly #delayed = new DelayedInTransit(LIMITS);
  readonly #receipts = new Map<string, Receipt>();

  get size(): number {
    return this.#delayed.size;
  }

  get receipts(): Receipt[] {
    return [...this.#delayed.ids].map((token) => this.#receipts.get(token) as Receipt);
  }

  /** Returns when a message is due, as `performance.now()`. Undefined if that is unknown. */
  dueAt(token: string): number | undefined {
    return this.#delayed.dueAt(token);
  }

  add(token: string, delay: number, receipt: Receipt): void {
    this.#delayed.add(token, delay);
    if (this.dueAt(token) === undefined) return;
    this.#receipts.set(token, receipt);
    if (this.#receipts.size > 2 * this.#delayed.size)
      for (const known of this.#receipts.keys()) if (this.dueAt(known) === undefined) this.#receipts.delete(known);
  }

  delete(token: string): void {
    this.#delayed.delete(token);
    this.#receipts.delete(token);
  }

  clear(): void {
    this.#delayed.clear();
    this.#receipts.clear();
  }
}
