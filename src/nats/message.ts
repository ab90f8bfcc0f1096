import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { type Message, readEnvelope } from '../core/envelope.js';
import { isOwnId } from '../core/message-ids.js';
import { type Metadata, writeMetadata } from '../internal/metadata.js';
import { isName } from '../internal/options.js';
import { readKey } from './names.js';

/** The server stores one message of several that have the same value here, within the stream's `duplicate_window`. */
export const ID_HEADER = 'Nats-Msg-Id';

/** The id that the publisher gave the message, percent-encoded. Absent if it gave none. */
export const GIVEN_ID_HEADER = 'Sluice-Id';

/** The headers of the message as JSON in ASCII: a header of NATS holds no line break, and loses the spaces at its ends. */
export const HEADERS_HEADER = 'Sluice-Headers';

/** When a message that was published with a delay was published, in milliseconds since the epoch. */
export const PUBLISHED_AT_HEADER = 'Sluice-Published-At';

/** What the subject to which a delivery is answered says about it. */
export interface DeliveryFacts {
  /** How often the message was delivered to the group. */
  readonly deliveries: number;
  /** Its place in the stream. */
  readonly sequence: number;
  /** When the server stored it, in milliseconds since the epoch. */
  readonly storedAt: number;
  /** How many messages behind it no consumer of the group has had yet. */
  readonly pending: number;
}

const PER_MILLISECOND = 1_000_000;

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`, or the form with a domain and an account before the
 * stream and more at the end. Undefined for what is no answer to a delivery.
 * @see https://docs.nats.io/reference/reference-protocols/nats_api_reference
 */
export function readFacts(reply: string): DeliveryFacts | undefined {
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK' || tokens.length < 9) return undefined;
  const at = tokens.length === 9 ? 4 : 6;
  return {
    deliveries: Number(tokens[at]),
    sequence: Number(tokens[at + 1]),
    storedAt: Math.floor(Number(tokens[at + 3]) / PER_MILLISECOND),
    pending: Number(tokens[at + 4]),
  };
}

/** An id for the copy of a delivery: the same one however often the group gets the message. @param reply the subject to which the delivery is answered */
export function copyId(reply: string): string {
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 2 : 4;
  const [stream, consumer, , sequence, , storedAt] = tokens.slice(at);
  return [stream, consumer, sequence, storedAt].join('.');
}

/** What a message is read from. */
export type Readable = Pick<Msg, 'subject' | 'string' | 'headers'>;

/** A message of the stream. Its token is its sequence number: several messages may have the same id. */
export type NatsMessage = Message & { readonly token: string };

/** A message of the stream, or why it is none. @param prefix how many characters stand before the key in the subject */
export function readMessage(
  message: Readable,
  { deliveries, sequence, storedAt }: Omit<DeliveryFacts, 'pending'>,
  prefix: number,
): NatsMessage | string {
  const headers = readHeaders(message);
  const content = readEnvelope({
    key: readKey(message.subject, prefix),
    payload: message.string(),
    metadata: headers?.get(HEADERS_HEADER) || undefined,
  });
  if (typeof content === 'string') return content;
  const publishedAt = Number(headers?.get(PUBLISHED_AT_HEADER) || Number.NaN);
  const token = String(sequence);
  return {
    id: readId(headers) ?? token,
    token,
    ...content,
    attempt: deliveries,
    // A message that is not due yet has zeros there.
    publishedAt: Number.isSafeInteger(publishedAt) && publishedAt !== 0 ? publishedAt : storedAt,
  };
}

/** Returns the id that Sluice or the publisher gave the message. Another program may give several messages the same `Nats-Msg-Id`. */
function readId(headers: MsgHdrs | undefined): string | undefined {
  const given = decodeId(headers?.get(GIVEN_ID_HEADER) ?? '');
  if (isName(given)) return given;
  const own = headers?.get(ID_HEADER) ?? '';
  return isOwnId(own) ? own : undefined;
}

/**
 * Encodes an id for a header, which holds no line break and loses the spaces at its ends.
 *
 * The result never equals an id that Sluice makes: a message that is published with the id of a
 * delivery is no duplicate of that delivery's message.
 */
export function encodeId(id: string): string {
  return isOwnId(id) ? `%${id.charCodeAt(0).toString(16)}${id.slice(1)}` : encodeURIComponent(id);
}

function decodeId(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}

/** The headers of a message; undefined where it has none, or what the client cannot read. */
function readHeaders(message: Pick<Msg, 'headers'>): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    // The payload decides whether this is a message, and is kept in any case.
    return undefined;
  }
}

/** A copy of the headers of a message, without those that tell the server what to do. */
export function copyHeaders(message: Pick<Msg, 'headers'>): MsgHdrs {
  const copy = createHeaders();
  const headers = readHeaders(message);
  for (const name of headers?.keys() ?? []) if (!/^Nats-/i.test(name)) copy.set(name, headers?.get(name) ?? '');
  return copy;
}

/** How many digits the time has for the next 260 years. */
const TIME_DIGITS = 13;

/** How many characters `forwardId` takes at most. */
const FORWARD_ID_LENGTH = 30;

/** Writes when a message was published. */
function writePublishedAt(milliseconds: number): string {
  return String(milliseconds).padStart(TIME_DIGITS, '0');
}

/** Reserves space in a delayed message, which may be as long as the server takes, for the headers with which the mover stores it. */
export function reservePublishedAt(hasGivenId: boolean): string {
  return '0'.repeat(hasGivenId ? TIME_DIGITS + FORWARD_ID_LENGTH : TIME_DIGITS);
}

/**
 * Writes the headers with which a delayed message is stored when it is due.
 * @param dedupeWindow how long the stream remembers ids, in milliseconds
 * @param now the server's time
 */
export function forwardHeaders(
  message: Msg,
  { sequence, storedAt }: Pick<DeliveryFacts, 'sequence' | 'storedAt'>,
  { dedupeWindow, now }: { readonly dedupeWindow: number; readonly now: number },
): MsgHdrs {
  const headers = copyHeaders(message);
  const id = readHeaders(message)?.get(ID_HEADER) ?? '';
  // A message that the stream stored within its window may have been published long after this one, and is no duplicate then.
  const isLate = headers.has(GIVEN_ID_HEADER) && now - storedAt > dedupeWindow;
  if (id !== '') headers.set(ID_HEADER, isLate ? forwardId(sequence, storedAt) : id);
  // A copy for one group says when the original was published.
  const publishedAt = Number(headers.get(PUBLISHED_AT_HEADER)) || storedAt;
  headers.set(PUBLISHED_AT_HEADER, writePublishedAt(publishedAt));
  return headers;
}

/** Writes the headers of a copy of a delayed message, for the group of one consumer. */
export function delayedCopyHeaders(
  message: Readable,
  { sequence, storedAt }: Pick<DeliveryFacts, 'sequence' | 'storedAt'>,
  consumer: string,
): MsgHdrs {
  const headers = copyHeaders(message);
  const id = readId(readHeaders(message));
  if (id !== undefined) headers.set(GIVEN_ID_HEADER, encodeId(id));
  headers.set(ID_HEADER, `${forwardId(sequence, storedAt)}/${consumer}`);
  headers.set(PUBLISHED_AT_HEADER, String(storedAt).padStart(TIME_DIGITS + FORWARD_ID_LENGTH, '0'));
  return headers;
}

/** Identifies a delayed message among those that are forwarded. No encoded id contains a slash. */
function forwardId(sequence: number, storedAt: number): string {
  return `/${sequence.toString(36)}/${storedAt.toString(36)}`;
}

/** Headers as a header of NATS can hold them; undefined for none. */
export function writeHeadersHeader(metadata: Metadata): string | undefined {
  return writeMetadata(metadata)?.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
