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

/**
 * Holds messages in the order of their publication, before their first delivery.
 *
 * A message needs only one slot, for its payload. Consecutive messages mostly have the same key and
 * were published in the same millisecond, so the buffer stores key and details once for each run of
 * such messages. `docs/decisions/0018` has the figures.
 */
export class MessageBuffer {
  readonly #payloads = new BlockQueue<QueuePayload>();
  /** The runs between the first and the last one: key, details and count of each, in a row. */
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

  /** The key of the first message. Only while `length > 0`, as the members below. */
  get key(): QueueKey {
    if (this.#firstCount === 0) this.#nextRun();
    return this.#firstKey;
  }

  get details(): Details {
    if (this.#firstCount === 0) this.#nextRun();
    return this.#firstDetails;
  }

  /** Removes the first message and returns its payload. */
  shift(): QueuePayload {
    if (this.#firstCount === 0) this.#nextRun();
    // A record refers to its payload: release it with the message.
    if (--this.#firstCount === 0) this.#firstDetails = 0;
    return this.#payloads.shift();
  }

  /** Yields all messages, in order. */
  *[Symbol.iterator](): IterableIterator<{ key: QueueKey; payload: QueuePayload; details: Details }> {
    const payloads = this.#payloads[Symbol.iterator]();
    for (const [key, details, count] of this.#allRuns()) {
      for (let i = 0; i < count; i++) yield { key, payload: payloads.next().value as QueuePayload, details };
    }
  }

  *#allRuns(): IterableIterator<[QueueKey, Details, count: number]> {
    yield [this.#firstKey, this.#firstDetails, this.#firstCount];
    const runs = [...this.#runs];
    for (let i = 0; i < runs.length; i += 3) yield runs.slice(i, i + 3) as [QueueKey, Details, number];
    yield [this.#lastKey, this.#lastDetails, this.#lastCount];
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

  /**
   * Replaces the first run, which is used up, with the next one. That may be the last one, which
   * starts again then.
   */
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
