import { ConnectionLostError } from '../core/engine-errors.js';

/**
 * The usual timeout, in milliseconds: half of the default `publishTimeout`, so that the other half
 * is left to send a message again.
 */
const USUAL = 5000;

/**
 * How many times the usual timeout it becomes at most, and after how many answers in time it is the
 * usual one again.
 */
const MOST_FACTOR = 8;
const RESET_AFTER = 1000;

/** The slowest link that is expected, in bytes per millisecond. */
const SLOWEST_LINK = 50;

/** The server did not answer a request in time. It may have carried it out. */
export class OverdueError extends ConnectionLostError {}

/**
 * How long the server may take to answer. Each late answer doubles the timeout, since the server or
 * the link may be slow.
 */
export class ResponseTimeout {
  #factor = 1;
  /** Answers in time since the last late one. */
  #inTime = 0;

  /**
   * Returns the timeout in milliseconds. @param bytes how many bytes the server has to read before
   * it can answer
   */
  get(bytes: number): number {
    return USUAL * this.#factor + bytes / SLOWEST_LINK;
  }

  /** Notes an answer in time. */
  inTime(): void {
    if (++this.#inTime === RESET_AFTER) this.#factor = 1;
  }

  /** Notes an answer that did not come in time. */
  overdue(): void {
    this.#factor = Math.min(MOST_FACTOR, this.#factor * 2);
    this.#inTime = 0;
  }
}
