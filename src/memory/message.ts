import type { QueueKey, QueuePayload } from '../backend.js';
import type { Metadata } from '../internal/metadata.js';

/**
 * The place of a message that has none yet. It gets one when it leaves the buffer or becomes due.
 */
export const UNPLACED = -1;

/** The id of a message that was published without one. */
export function idOfPlace(queueId: string, place: number): string {
  return `${queueId}-${place}`;
}

/**
 * A message that needs a record: it has options, was delivered before, or belongs to a queue that
 * declares groups.
 */
export class Message {
  /** Its position in the order of publication. */
  place = UNPLACED;

  constructor(
    readonly key: QueueKey,
    readonly payload: QueuePayload,
    readonly metadata: Metadata,
    /** In milliseconds since the epoch. */
    readonly publishedAt: number,
    /** The number of the next delivery, from 1 up. */
    readonly attempt: number,
    /** The id from the publisher, or of a delayed publish. Undefined: `idOfPlace`. */
    public id?: string,
    /**
     * What the groups share of the message. Undefined before it reaches them, and where groups are
     * ignored.
     */
    readonly publication?: Publication,
  ) {}
}

/**
 * What the groups of a queue share of one message: the queue holds it until each group has settled
 * it.
 */
export class Publication {
  /** In how many groups the message waits. */
  waiting = 0;
  /** In how many of these groups it was requeued with a delay that has not passed. */
  delayed = 0;
  /** In how many groups it is not settled. */
  pending = 0;
  /** The message, for its first delivery in each group. */
  readonly message: Message;

  constructor({ key, payload, metadata, publishedAt, id }: Message, place: number) {
    this.message = new Message(key, payload, metadata, publishedAt, 1, id, this);
    this.message.place = place;
  }
}
