import type { QueueKey, QueuePayload } from '../backend.js';
import { Blocks } from '../internal/blocks.js';
import type { Message } from './message.js';

/** A slot for a message's key, one for its payload, and one for what else there is. */
const WIDTH = 3;

/**
 * What is known of a message besides its key and payload: when it was published, in milliseconds since the queue was made, which is all there is
 * to most messages and costs no object; or the record of one that has more.
 */
export type Details = number | Message;

/**
 * Messages in the order of their publication, that nobody has had yet.
 *
 * A message is three slots and no object: a record each would double the cost of a burst, most of it garbage collection.
 */
export class MessageBuffer extends Blocks {
  constructor() {
    super(WIDTH);
  }

  push(key: QueueKey, payload: QueuePayload, details: Details): void {
    const { room, back } = this;
    room[back] = key;
    room[back + 1] = payload;
    room[back + 2] = details;
    this.grew();
  }

  /** Of the first message. Only while `length > 0`. */
  get key(): QueueKey {
    return this.slots[this.front] as QueueKey;
  }

  get payload(): QueuePayload {
    return this.slots[this.front + 1] as QueuePayload;
  }

  get details(): Details {
    return this.slots[this.front + 2] as Details;
  }

  /** Drops the first message. Only while `length > 0`. */
  shift(): void {
    const { slots, front } = this;
    slots[front] = undefined;
    slots[front + 1] = undefined;
    slots[front + 2] = undefined;
    this.shrank();
  }
}
