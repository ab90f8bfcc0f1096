import type { TimestampProvider } from 'rxjs';

/** Remembers the ids of published messages for a window of time. */
export class RecentIds {
  readonly #window: number;
  readonly #clock: TimestampProvider;
  /** When each id was published, the oldest first. */
  readonly #times = new Map<string, number>();

  /** @param window in milliseconds */
  constructor(window: number, clock: TimestampProvider) {
    this.#window = window;
    this.#clock = clock;
  }

  /** How many ids are remembered, including expired ones. */
  get size(): number {
    return this.#times.size;
  }

  /** Whether a message with this id was published within the window. */
  has(id: string | undefined): boolean {
    const time = id === undefined ? undefined : this.#times.get(id);
    return time !== undefined && this.#clock.now() - time < this.#window;
  }

  /** Adds the id of a published message, and forgets the expired ids: so the map needs no timer. */
  add(id: string): void {
    const now = this.#clock.now();
    for (const [oldest, time] of this.#times) {
      if (now - time < this.#window) break;
      this.#times.delete(oldest);
    }
    // An id that is set again keeps its position in the map. This one is the newest.
    this.#times.delete(id);
    this.#times.set(id, now);
  }
}
