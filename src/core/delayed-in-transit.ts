export interface DelayedInTransitOptions {
  /** How many messages are remembered at most. More of them count as stored. */
  readonly most: number;
  /**
   * How long after it is due a message may arrive, in milliseconds. Later, it counts as stored, or
   * another consumer has it.
   */
  readonly lateness: number;
}

/**
 * Delayed messages that this process has sent and that have not returned. Until shortly after they
 * are due, no queue contains them.
 */
export class DelayedInTransit {
  readonly #options: DelayedInTransitOptions;
  /** Until when each message is remembered, as `performance.now()`, by id. */
  readonly #until = new Map<string, number>();
  /** No message expires before this time. */
  #earliest = Number.POSITIVE_INFINITY;

  constructor(options: DelayedInTransitOptions) {
    this.#options = options;
  }

  get size(): number {
    this.#forgetLate();
    return this.#until.size;
  }

  get ids(): Iterable<string> {
    this.#forgetLate();
    return this.#until.keys();
  }

  /**
   * The messages that are late by at most `lateness` milliseconds, which must be less than the
   * option.
   */
  idsWithin(lateness: number): string[] {
    const from = performance.now() + this.#options.lateness - lateness;
    return [...this.#until].flatMap(([id, until]) => (until < from ? [] : [id]));
  }

  /** @param delay in milliseconds from now */
  add(id: string, delay: number): void {
    const { most, lateness } = this.#options;
    if (this.#until.size >= most) this.#forgetLate();
    if (this.#until.size >= most) return;
    const until = performance.now() + delay + lateness;
    this.#until.set(id, until);
    this.#earliest = Math.min(this.#earliest, until);
  }

  /** When a message becomes due, as `performance.now()`. Undefined unless it is remembered. */
  dueAt(id: string): number | undefined {
    const until = this.#until.get(id);
    return until === undefined ? undefined : until - this.#options.lateness;
  }

  /** The message has returned, or was not sent. */
  delete(id: string): void {
    if (this.#until.size > 0) this.#until.delete(id);
  }

  clear(): void {
    this.#until.clear();
  }

  #forgetLate(): void {
    const now = performance.now();
    // Usually no message has expired, however many there are.
    if (now <= this.#earliest) return;
    this.#earliest = Number.POSITIVE_INFINITY;
    for (const [id, until] of this.#until) {
      if (until < now) this.#until.delete(id);
      else this.#earliest = Math.min(this.#earliest, until);
    }
  }
}
