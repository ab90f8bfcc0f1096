import { DelayedInTransit } from '../core/delayed-in-transit.js';

/**
 * What was sent back for later: the server may keep it for so many milliseconds after its time, since it looks some of them later, and more where it is busy. What is more
 * than these counts as ready.
 */
const LIMITS = { most: 100_000, lateness: 250 };

/** The messages of a group that this process has sent back for later, by id. */
export class Away {
  readonly #all = new DelayedInTransit(LIMITS);
  /** Those of them that no other group gets. */
  readonly #own = new DelayedInTransit(LIMITS);

  get size(): number {
    return this.#all.size;
  }

  get own(): number {
    return this.#own.size;
  }

  /** @param isOwn whether no other group gets the message */
  add(id: string, delay: number, isOwn: boolean): void {
    this.#all.add(id, delay);
    if (isOwn) this.#own.add(id, delay);
  }

  delete(id: string): void {
    this.#all.delete(id);
    this.#own.delete(id);
  }

  clear(): void {
    this.#all.clear();
    this.#own.clear();
  }
}
