import type { Msg } from '@nats-io/transport-node';
import type { NatsLink } from './link.js';
import type { Place } from './message.js';

export type Answer = Uint8Array | string;

// They are bytes, since the client would encode a text for each message.
export const ACK = Buffer.from('+ACK');
export const IN_PROGRESS = Buffer.from('+WPI');
export const TERMINATE = Buffer.from('+TERM');

const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** The longest delay that the server can count, in milliseconds: about 285 years. */
const LONGEST_DELAY = 9e12;

/** Returns the answer that requeues a message after a delay in milliseconds. */
export function nak(delay: number): string {
  if (delay <= 0) return '-NAK';
  return `-NAK {"delay":${Math.ceil(Math.min(delay, LONGEST_DELAY) * NANOSECONDS_PER_MILLISECOND)}}`;
}

/** A delivery, as the server identifies it. */
export interface Receipt extends Place {
  readonly subject: string;
  /** The subject of its answers. */
  readonly reply: string;
  /** When its stream was created. */
  readonly stream: string | undefined;
}

export function receiptOf({ subject, reply = '' }: Msg, { sequence, storedAt }: Place, stream?: string): Receipt {
  return { subject, reply, sequence, storedAt, stream };
}

/**
 * Answers deliveries of one consumer. The server handles the answers in order, so its response to
 * the last one confirms all.
 */
export function answerAll<Item>(
  link: NatsLink,
  items: readonly Item[],
  replyOf: (item: Item) => string,
  answerTo: (item: Item) => Answer,
): Promise<Msg | undefined> {
  const last = items.at(-1);
  if (last === undefined) return Promise.resolve(undefined);
  for (const item of items) if (item !== last) link.publish(replyOf(item), answerTo(item));
  return link.request(replyOf(last), answerTo(last));
}
