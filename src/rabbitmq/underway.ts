/** How many messages it remembers at most: where there are more, the broker counts some of them. */
const MOST = 1024;

/** How long after its time a message may come, in milliseconds: later, somebody else has it. */
const LATEST = 1000;

/**
 * Messages that this process has sent on the way of a delay, and that have not come back to it. While a queue hands a message down to the next one, the broker counts
 * it in neither; but one whose time has not come is with nobody for certain.
 */
export class Underway {
  /** Until when each is remembered, by the clock of `performance`; by id. */
  readonly #until = new Map<string, number>();

  get size(): number {
    this.#forgetLate();
    return this.#until.size;
  }

  /** @param delay in milliseconds, from now on */
  add(id: string, delay: number): void {
    if (this.#until.size >= MOST) this.#forgetLate();
    if (this.#until.size < MOST) this.#until.set(id, performance.now() + delay + LATEST);
  }

  /** It has come, or it was not sent. */
  delete(id: string): void {
    if (this.#until.size > 0) this.#until.delete(id);
  }

  #forgetLate(): void {
    const now = performance.now();
    for (const [id, until] of this.#until) if (until < now) this.#until.delete(id);
  }
}
