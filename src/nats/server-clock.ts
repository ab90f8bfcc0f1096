/** By how much two readings of an unchanged clock may differ, in milliseconds: a message may take so long to arrive and to be read. */
export const JITTER = 100;

/**
 * The clock by which a server stamps what it stores, as far as its messages and answers show it. It may be set at any time, and a server of a cluster may take the place of
 * another whose clock differs. An estimate is never ahead of the clock, or a delay would be too short.
 */
export class ServerClock {
  /** How far it is ahead of `performance.now()`. */
  #offset: number | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  /** Milliseconds since the epoch. */
  get now(): number {
    return performance.now() + (this.#offset ?? performance.timeOrigin);
  }

  /** Whether it was ever read. */
  get isKnown(): boolean {
    return this.#offset !== undefined;
  }

  /** Whether it was read within the last so many milliseconds. */
  wasRead(within: number): boolean {
    return performance.now() - this.#readAt <= within;
  }

  /**
   * The server has shown its time.
   * @param time what it showed, in milliseconds since the epoch
   * @param since when it may have shown that at the earliest, by the clock of `performance`; it was no later than now
   * @returns by how much the clock was set since the last reading, in milliseconds
   */
  read(time: number, since = performance.now() - JITTER): number {
    const now = performance.now();
    this.#readAt = now;
    const before = this.#offset;
    const least = time - now;
    if (before !== undefined && before >= least && before <= time - since) return 0;
    this.#offset = least;
    return before === undefined || Math.abs(least - before) <= JITTER ? 0 : least - before;
  }
}
