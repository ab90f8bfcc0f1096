import { ConnectionLostError } from '../core/engine-errors.js';

/** How long the server may take to answer, in milliseconds: half of the time that a publish has by default, so that the other half is left to send it again. */
const USUAL = 5000;

/** How many times as long it may take at most, and after how many answers in time it has no more than the usual time again. */
const SLOWEST = 8;
const QUICK_AGAIN = 1000;

/** How slow a link may be, in bytes per millisecond. */
const SLOWEST_LINK = 50;

/** The server did not answer a request in time. It may have carried it out. */
export class OverdueError extends ConnectionLostError {}

/** How long the server may take to answer on a connection: longer after each answer that did not come in time, since the server or the link may be slow. */
export class Patience {
  #slowness = 1;
  /** Answers since the last one that did not come in time. */
  #inTime = 0;

  /** In milliseconds. @param bytes how many bytes the server has to read before it can answer */
  get(bytes: number): number {
    return USUAL * this.#slowness + bytes / SLOWEST_LINK;
  }

  /** An answer has come in time. */
  inTime(): void {
    if (++this.#inTime === QUICK_AGAIN) this.#slowness = 1;
  }

  /** An answer has not come in time. */
  overdue(): void {
    this.#slowness = Math.min(SLOWEST, this.#slowness * 2);
    this.#inTime = 0;
  }
}
