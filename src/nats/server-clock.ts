import type { Place } from './message.js';

/** By how much two readings of one clock may differ, in milliseconds: messages take time. */
export const JITTER = 100;

/**
 * The clock of the server, as its messages and responses show it. It may be set at any time, and
 * another server of a cluster has another clock. The estimate is never ahead of the clock:
 * otherwise a delay would be too short.
 */
export class ServerClock {
  /** How far the clock is ahead of `performance.now()`. */
  #offset: number | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  /** The last reading, and the last message that was stored before it. */
  #time = Number.NEGATIVE_INFINITY;
  #sequence = 0;

  /** In milliseconds since the epoch. */
  get now(): number {
    return performance.now() + (this.#offset ?? performance.timeOrigin);
  }

  get isKnown(): boolean {
    return this.#offset !== undefined;
  }

  /**
   * Whether the clock was read within the last `within` milliseconds, and was not set back between
   * that reading and the time when this message was stored.
   */
  wasRead(within: number, { sequence, storedAt }: Place): boolean {
    const isLater = sequence > this.#sequence;
    return performance.now() - this.#readAt <= within && !(isLater && storedAt < this.#time - JITTER);
  }

  /**
   * Takes a time that the server has shown.
   * @param time in milliseconds since the epoch
   * @param sequence of the last message that was stored before it
   * @param since the earliest moment at which the server showed it, as `performance.now()`
   * @returns by how much the clock was set since the last reading, in milliseconds
   */
  read(time: number, sequence: number, since = performance.now() - JITTER): number {
    const now = performance.now();
    this.#readAt = now;
    this.#time = time;
    this.#sequence = sequence;
    const before = this.#offset;
    const least = time - now;
    if (before !== undefined && before >= least && before <= time - since) return 0;
    this.#offset = least;
    return before === undefined || Math.abs(least - before) <= JITTER ? 0 : least - before;
  }
}
