/** How many messages it remembers. */
const MOST = 10_000;

/**
 * How often this process has given back each message without a handler having failed over it, on a broker that counts that as a delivery. What another process gives
 * back is not known here.
 */
export class OwnReleases {
  /** In the order in which they were given back last. */
  readonly #counts = new Map<string, number>();

  add(message: string): void {
    const count = this.of(message);
    this.#counts.delete(message);
    this.#counts.set(message, count + 1);
    if (this.#counts.size <= MOST) return;
    for (const oldest of this.#counts.keys()) {
      this.#counts.delete(oldest);
      return;
    }
  }

  of(message: string): number {
    return this.#counts.size === 0 ? 0 : (this.#counts.get(message) ?? 0);
  }

  /** It is done with, or counts its deliveries anew. */
  delete(message: string): void {
    if (this.#counts.size > 0) this.#counts.delete(message);
  }

  clear(): void {
    this.#counts.clear();
  }
}
