import type { ConsumerGroup, MessageHeaders, QueueKey, QueuePayload } from '../backend.js';

/** The place of a message that has none yet: it gets one when it leaves the buffer, or falls due. */
export const UNPLACED = -1;

/** A message that needs a record: it has headers or a delay, was delivered before, or its queue declares groups. */
export class Message {
  /** Its position in the order of publication. */
  place = UNPLACED;

  constructor(
    readonly key: QueueKey,
    readonly payload: QueuePayload,
    readonly headers: MessageHeaders,
    /** When it was published, in milliseconds since the epoch. */
    readonly publishedAt: number,
    /** Which delivery the next one is, from 1 up. */
    readonly attempt: number,
    /** What its groups share of it, where groups are declared and it has reached them. */
    readonly publication?: Publication,
    /** Before it has reached its groups: the only one that gets it, or undefined for all. */
    readonly group?: ConsumerGroup,
  ) {}
}

/** What the groups of one queue share of one message: it is held until each of them has settled it. */
export class Publication {
  /** In how many groups it waits. */
  waiting = 0;
  /** In how many of these it came back and waits for a delay to pass. */
  delayed = 0;
  /** In how many groups it is not settled. */
  pending = 0;
  /** The message, as a group gets it first. */
  readonly message: Message;

  constructor({ key, payload, headers, publishedAt }: Message, place: number) {
    this.message = new Message(key, payload, headers, publishedAt, 1, this);
    this.message.place = place;
  }
}
