import type { QueueKey, QueuePayload } from '../backend.js';
import { BlockQueue } from '../internal/block-queue.js';
import type { Message, Publication } from './message.js';

/**
 * What is known of a message besides its key and payload: when it was published, in milliseconds since the queue was made, which is all there is
 * to most messages and costs no object; or the record of one that has more.
 */
export type Details = number | Message;

/** What the groups share of a message, if it goes to several. */
export function publicationOf(details: Details): Publication | undefined {
  return typeof details === 'number' ? undefined : details.publication;
}

/**
 * Messages in the order of their publication, that nobody has had yet.
 *
 * A message is no object here, but a slot for its payload. Messages in a row mostly have the same key and were published in the same millisecond, so
 * key and details are kept once for each run of messages that have them in common. In a burst a record each would cost twice the time, most of it for
 * the garbage collector, and three slots each still a half more.
 */
export class MessageBuffer {
  readonly #payloads = new BlockQueue<QueuePayload>();
  /** The runs between the first and the last one: a key, details and a count each, side by side. */
  readonly #runs = new BlockQueue<QueueKey | Details>();
  #firstKey: QueueKey = '';
  #firstDetails: Details = 0;
  #firstCount = 0;
  #lastKey: QueueKey = '';
  #lastDetails: Details = 0;
  #lastCount = 0;

  get length(): number {
    return this.#payloads.length;
  }

  push(key: QueueKey, payload: QueuePayload, details: Details): void {
    if (key !== this.#lastKey || details !== this.#lastDetails) this.#startRun(key, details);
    this.#lastCount++;
    this.#payloads.push(payload);
  }

  /** Of the first message. Only while `length > 0`, as the rest. */
  get key(): QueueKey {
    if (this.#firstCount === 0) this.#nextRun();
    return this.#firstKey;
  }

  get details(): Details {
    if (this.#firstCount === 0) this.#nextRun();
    return this.#firstDetails;
  }

  /** Takes the first message out; returns its payload. */
  shift(): QueuePayload {
    if (this.#firstCount === 0) this.#nextRun();
    // A record holds its payload: let go of it with the message.
    if (--this.#firstCount === 0) this.#firstDetails = 0;
    return this.#payloads.shift();
  }

  #startRun(key: QueueKey, details: Details): void {
    if (this.#lastCount > 0) {
      this.#runs.push(this.#lastKey);
      this.#runs.push(this.#lastDetails);
      this.#runs.push(this.#lastCount);
    }
    this.#lastKey = key;
    this.#lastDetails = details;
    this.#lastCount = 0;
  }

  /** The first run is used up: the next one takes its place, be it the last one, which starts anew then. */
  #nextRun(): void {
    if (this.#runs.length > 0) {
      this.#firstKey = this.#runs.shift() as QueueKey;
      this.#firstDetails = this.#runs.shift() as Details;
      this.#firstCount = this.#runs.shift() as number;
    } else {
      this.#firstKey = this.#lastKey;
      this.#firstDetails = this.#lastDetails;
      this.#firstCount = this.#lastCount;
      this.#lastDetails = 0;
      this.#lastCount = 0;
    }
  }
}
