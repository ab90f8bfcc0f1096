/** How many messages it remembers: far more than are on their way when a connection is lost. */
const MOST = 10_000;

/** Messages that are done with here, though the broker may not have heard of it, and deliver them again. */
export class DoneWith {
  /** In the order in which they were added. */
  readonly #messages = new Set<string>();

  /** @param message what tells it from others */
  add(message: string): void {
    this.#messages.delete(message);
    this.#messages.add(message);
    if (this.#messages.size <= MOST) return;
    for (const oldest of this.#messages) {
      this.#messages.delete(oldest);
      return;
    }
  }

  has(message: string): boolean {
    return this.#messages.size > 0 && this.#messages.has(message);
  }
}
