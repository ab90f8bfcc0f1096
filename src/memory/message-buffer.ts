import type { QueueKey, QueuePayload } from '../backend.js';
import { BlockQueue } from '../internal/block-queue.js';
import type { Message, Publication } from './message.js';

/**
 * What a message has besides its key and payload. Most messages have only the time of their
 * publication, in milliseconds since the creation of the queue: a number, which needs no object.
 * Others have a record.
 */
export type Details = number | Message;

/** Returns what several groups share of a message. */
export function publicationOf(details: Details): Publication | undefined {
  return typeof details === 'number' ? undefined : details.publication;
}

/** Equals no details, so that the next message starts a run. */
const NO_DETAILS = Number.NaN;

/** The end of a run that the next message may extend. */
const OPEN = -1;

/**
 * Holds messages in the order of their publication, before their first delivery.
 *
 * A message needs only one slot, for its payload. Consecutive messages mostly have the same key and
 * were published in the same millisecond, so the buffer stores key and details once for each run of
 * such messages. `docs/decisions/0018` has the figures.
 */
export class MessageBuffer {
  /** The key and the details of the first message. Only valid while `length > 0`. */
  key: QueueKey = '';
  details: Details = NO_DETAILS;
  readonly #payloads = new BlockQueue<QueuePayload>();
  /** How many messages were removed, ever, and how many that will be at the end of the first run. */
  #removed = 0;
  #end = OPEN;
  /** The runs after the first one: key, details and end of each, but for the end of the last one. */
  readonly #runs = new BlockQueue<QueueKey | Details>();
  #lastKey: QueueKey = '';
  #lastDetails: Details = NO_DETAILS;

  get length(): number {
    return this.#payloads.length;
  }

  push(key: QueueKey, payload: QueuePayload, details: Details): void {
    if (key !== this.#lastKey || details !== this.#lastDetails) this.#startRun(key, details);
    this.#payloads.push(payload);
  }

  /** Removes the first message and returns its payload. Only while `length > 0`. */
  shift(): QueuePayload {
    if (++this.#removed === this.#end) this.#nextRun();
    // A record refers to its payload: release it with the message.
    else if (typeof this.details !== 'number') this.details = this.#lastDetails = NO_DETAILS;
    return this.#payloads.shift();
  }

  /** Yields all messages, in order. */
  *[Symbol.iterator](): IterableIterator<{ key: QueueKey; payload: QueuePayload; details: Details }> {
    const runs = this.#runs[Symbol.iterator]();
    let { key, details } = this;
    let end: Details = this.#end;
    let position = this.#removed;
    for (const payload of this.#payloads) {
      if (position++ === end) {
        key = runs.next().value as QueueKey;
        details = runs.next().value as Details;
        end = (runs.next().value as number | undefined) ?? OPEN;
      }
      yield { key, payload, details };
    }
  }

  #startRun(key: QueueKey, details: Details): void {
    const { length } = this.#payloads;
    this.#lastKey = key;
    this.#lastDetails = details;
    if (length === 0) {
      this.key = key;
      this.details = details;
      return;
    }
    const end = this.#removed + length;
    if (this.#end === OPEN) this.#end = end;
    else this.#runs.push(end);
    this.#runs.push(key);
    this.#runs.push(details);
  }

  #nextRun(): void {
    this.key = this.#runs.shift() as QueueKey;
    this.details = this.#runs.shift() as Details;
    this.#end = this.#runs.length > 0 ? (this.#runs.shift() as number) : OPEN;
  }
}
