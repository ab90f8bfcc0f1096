import type { QueueKey } from '../backend.js';
import { type Message, readEnvelope } from '../core/envelope.js';
import { isOwnId } from '../core/message-ids.js';
import { describe } from '../internal/describe.js';
import type { Envelope, Incoming, Properties } from './client.js';
import { MOST_DEPTH } from './frames.js';

/** The headers of a message, as JSON, because AMQP limits the names in tables. */
const HEADERS = 'sluice-headers';
/** When the message was published, in milliseconds since the epoch. */
const PUBLISHED_AT = 'sluice-published-at';
/** The deliveries before the message was copied for a nack with a delay. */
const ATTEMPTS = 'sluice-attempts';
/** The id that Sluice created for a message whose publisher gave it another one. */
const UNIQUE_ID = 'sluice-unique-id';
/** The delay of the publish, in milliseconds. */
const DELAY = 'sluice-delay';

const REASON = 'sluice-reason';

/** The earlier deliveries of the message. The second one exists from RabbitMQ 4 on. */
const DELIVERY_COUNT = 'x-delivery-count';
const ACQUIRED_COUNT = 'x-acquired-count';

/** A message to send. */
export interface Outgoing {
  /** The `id` of its deliveries: the publisher's own, or `uniqueId`. */
  readonly id: string;
  /** Unique, unless another program has published the message. */
  readonly uniqueId: string;
  readonly key: QueueKey;
  /** JSON, in UTF-8. */
  readonly body: Buffer;
  /** JSON. Undefined: there is none. */
  readonly metadata: string | undefined;
  readonly publishedAt: number;
  /** The delay of the publish, in milliseconds. */
  readonly delay: number;
  /** Earlier deliveries. */
  readonly attempts: number;
}

export interface Received {
  readonly message: Message;
  /** Whether its publisher gave it an id. Several messages may have one id. */
  readonly hasGivenId: boolean;
  readonly place: Place;
  /** The deliveries before it was copied for a nack with a delay. */
  readonly attempts: number;
  readonly original: Incoming;
}

/** The place of a message in its queue: its due time, as `Date.now()`, and its unique id. */
export interface Place {
  readonly time: number;
  readonly id: string;
}

/** Compares two places, for `sort`. A longer id of one publisher has the higher number. */
export function comparePlaces(one: Place, other: Place): number {
  return (
    one.time - other.time || one.id.length - other.id.length || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0)
  );
}

export function envelopeOf(
  { id, uniqueId, key, metadata, publishedAt, delay, attempts }: Outgoing,
  exchange: string,
  routingKey: string,
): Envelope {
  const table: Record<string, unknown> = { [PUBLISHED_AT]: publishedAt };
  if (metadata !== undefined) table[HEADERS] = metadata;
  if (uniqueId !== id) table[UNIQUE_ID] = uniqueId;
  if (delay > 0) table[DELAY] = Math.ceil(delay);
  if (attempts > 0) table[ATTEMPTS] = attempts;
  return {
    contentType: 'application/json',
    // With a content encoding, the client does not decode the body.
    contentEncoding: 'utf-8',
    messageId: id,
    type: key,
    headers: table,
    exchange,
    routingKey,
    mandatory: true,
    durable: true,
  };
}

/** Reads a delivery. Returns the reason if it is invalid. */
export function readMessage(original: Incoming): Received | string {
  const { messageId: id, type: key, headers: table = {}, body } = original;
  const deep = Object.keys(table).find((name) => isTooDeep(table[name]));
  if (deep !== undefined) return `its header "${deep}" is nested more than ${MOST_DEPTH} levels deep, and is left out`;
  if (typeof id !== 'string' || id === '') return 'it has no "messageId"';
  const metadata = table[HEADERS];
  if (metadata !== undefined && typeof metadata !== 'string')
    return `its "${HEADERS}" must be a string, got ${describe(metadata)}`;
  const publishedAt = table[PUBLISHED_AT];
  if (!isCount(publishedAt))
    return `its "${PUBLISHED_AT}" must be a time in milliseconds, got ${describe(publishedAt)}`;
  const delay = table[DELAY] ?? 0;
  const attempts = table[ATTEMPTS] ?? 0;
  if (!isCount(delay)) return `its "${DELAY}" must be in milliseconds, got ${describe(delay)}`;
  if (!isCount(attempts)) return `its "${ATTEMPTS}" must be a count, got ${describe(attempts)}`;
  const content = readEnvelope({ key, payload: Buffer.isBuffer(body) ? body.toString() : undefined, metadata });
  if (typeof content === 'string') return content;
  const given = table[UNIQUE_ID];
  const hasGivenId = typeof given === 'string' && isOwnId(given);
  const attempt = attempts + countOf(table[DELIVERY_COUNT], table[ACQUIRED_COUNT]) + 1;
  return {
    message: { id, ...content, attempt, publishedAt },
    hasGivenId,
    place: { time: publishedAt + delay, id: hasGivenId ? given : id },
    attempts,
    original,
  };
}

/**
 * Whether Sluice has created the unique id of a message. Another program may publish many messages
 * that are equal in everything: to lose one of these is worse than to deliver one twice.
 */
export function hasOwnId({ place }: Received): boolean {
  return isOwnId(place.id);
}

/** Whether the broker has delivered a message before, to any consumer. */
export function isRedelivery({ message, attempts, original }: Received): boolean {
  return original.redelivered === true || message.attempt > attempts + 1;
}

/** Copies a message for its next attempt. */
export function copyOf({
  message: { id, key, attempt, publishedAt },
  place: { id: uniqueId },
  original: { body, headers = {} },
}: Received): Outgoing {
  return {
    id,
    uniqueId,
    key,
    body: body as Buffer,
    metadata: headers[HEADERS] as string | undefined,
    publishedAt,
    delay: (headers[DELAY] as number | undefined) ?? 0,
    attempts: attempt,
  };
}

/** Adds the reason to the properties of a message for the quarantine. */
export function quarantineProperties(
  { contentType, contentEncoding, type, headers }: Incoming,
  reason: string,
): Properties {
  // By these headers the broker would route the copy to other queues.
  const { CC: _cc, BCC: _bcc, ...others } = headers ?? {};
  const readable = Object.fromEntries(Object.entries(others).filter(([, value]) => !isTooDeep(value)));
  return { contentType, contentEncoding, type, headers: { ...readable, [REASON]: reason } } as Properties;
}

export function bodyOf({ body }: Incoming): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

/** @param level of the value. The headers are level 1. */
function isTooDeep(value: unknown, level = 2): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (level > MOST_DEPTH) return true;
  // The bytes of a Buffer are not nested.
  return !Buffer.isBuffer(value) && Object.values(value).some((each) => isTooDeep(each, level + 1));
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function countOf(...counts: unknown[]): number {
  return Math.max(0, ...counts.filter(isCount));
}
