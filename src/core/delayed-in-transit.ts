export interface UnderwayOptions {
  /** How many messages are remembered at most: where there are more, the rest counts as there. */
  readonly most: number;
  /** How long after its time a message may come, in milliseconds: later, it is there, or somebody else has it. */
  readonly lateness: number;
}

/** Messages that this process has sent on the way of a delay, and that have not come back to it: until their time, and a little longer, they are with nobody. */
export class DelayedInTransit {
  readonly #options: UnderwayOptions;
  /** Until when each is remembered, by the clock of `performance`; by id. */
  readonly #until = new Map<string, number>();
  /** None is to be forgotten before this. */
  #earliest = Number.POSITIVE_INFINITY;

  constructor(options: UnderwayOptions) {
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

  /** Those that are not later than so many milliseconds: fewer than `lateness`. */
  idsWithin(lateness: number): string[] {
    const from = performance.now() + this.#options.lateness - lateness;
    return [...this.#until].flatMap(([id, until]) => (until < from ? [] : [id]));
  }

  /** @param delay in milliseconds, from now on */
  add(id: string, delay: number): void {
    const { most, lateness } = this.#options;
    if (this.#until.size >= most) this.#forgetLate();
    if (this.#until.size >= most) return;
    const until = performance.now() + delay + lateness;
    this.#until.set(id, until);
    this.#earliest = Math.min(this.#earliest, until);
  }

  /** When the delay of a message ends, by the clock of `performance`. Undefined unless the message is remembered. */
  dueAt(id: string): number | undefined {
    const until = this.#until.get(id);
    return until === undefined ? undefined : until - this.#options.lateness;
  }

  /** It has come, or it was not sent. */
  delete(id: string): void {
    if (this.#until.size > 0) this.#until.delete(id);
  }

  clear(): void {
    this.#until.clear();
  }

  #forgetLate(): void {
    const now = performance.now();
    // Most of the time there is nothing to look for, however many there are.
    if (now <= this.#earliest) return;
    this.#earliest = Number.POSITIVE_INFINITY;
    for (const [id, until] of this.#until) {
      if (until < now) this.#until.delete(id);
      else this.#earliest = Math.min(this.#earliest, until);
    }
  }
}
