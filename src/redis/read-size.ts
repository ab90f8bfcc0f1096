/** The messages of a reply that was lost together with its connection. */
export interface LostReply {
  readonly count: number;
  readonly bytes: number;
  /** The id of one of the messages. Empty: there are none. */
  readonly id: string;
}

/** A smaller reply does not cause the loss of a connection. */
const MIN_LOST_BYTES = 32 * 1024;

/** How many bytes the consumer reads at a time after the loss of a large reply. */
const CAREFUL_BYTES = 256 * 1024;

/** How often a message that was read alone may be lost. */
const TRIES = 5;

/** The period in which the consumer reads less at a time, in milliseconds. */
const FIRST_PERIOD = 60_000;
const LONGEST_PERIOD = 24 * 60 * 60_000;
const GROWTH = 8;

/**
 * How much a consumer reads at a time. A server drops a connection if a reply exceeds its
 * `client-output-buffer-limit`, and a slow link may take too long for a large reply. After the loss
 * of a large reply, the consumer reads less at a time for a period. The period grows if large
 * replies are lost again soon after it.
 */
export class ReadSize {
  #bytes = Number.POSITIVE_INFINITY;
  #carefulUntil = Number.NEGATIVE_INFINITY;
  #period = FIRST_PERIOD;
  /** The last message that was read alone and lost, and how often that happened. */
  #suspect = '';
  #tries = 0;

  /** The most bytes of messages to read. Infinity: any number. */
  get bytes(): number {
    return performance.now() < this.#carefulUntil ? this.#bytes : Number.POSITIVE_INFINITY;
  }

  /** Returns whether the message can never arrive: it was read alone and lost several times. */
  lost({ count, bytes, id }: LostReply): boolean {
    if (bytes < MIN_LOST_BYTES) return false;
    this.#readLess(count, bytes);
    if (count > 1) return false;
    this.#tries = id === this.#suspect ? this.#tries + 1 : 1;
    this.#suspect = id;
    return this.#tries === TRIES;
  }

  arrived(id: string): void {
    if (id === this.#suspect) this.#suspect = '';
  }

  #readLess(count: number, bytes: number): void {
    const now = performance.now();
    if (now >= this.#carefulUntil) {
      const isSoon = now - this.#carefulUntil < this.#period;
      this.#period = isSoon ? Math.min(LONGEST_PERIOD, this.#period * GROWTH) : FIRST_PERIOD;
      this.#bytes = Math.min(CAREFUL_BYTES, bytes / 2);
    } else if (count > 1) {
      this.#bytes = Math.min(this.#bytes, bytes) / 2;
    }
    this.#carefulUntil = now + this.#period;
  }
}
