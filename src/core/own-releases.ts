/** How many messages are remembered. */
const MAX_MESSAGES = 10_000;

/**
 * Counts how often this process has released each message, on an engine that counts a release as a
 * delivery. Releases of other processes are unknown.
 */
export class OwnReleases {
  /** In the order of the last release. */
  readonly #counts = new Map<string, number>();

  add(message: string): void {
    const count = this.of(message);
    this.#counts.delete(message);
    this.#counts.set(message, count + 1);
    if (this.#counts.size <= MAX_MESSAGES) return;
    for (const oldest of this.#counts.keys()) {
      this.#counts.delete(oldest);
      return;
    }
  }

  of(message: string): number {
    return this.#counts.size === 0 ? 0 : (this.#counts.get(message) ?? 0);
  }

  /** The message is settled, or its deliveries are counted from 1 again. */
  delete(message: string): void {
    if (this.#counts.size > 0) this.#counts.delete(message);
  }

  clear(): void {
    this.#counts.clear();
  }
}
