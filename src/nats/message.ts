import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { type Message, readEnvelope } from '../core/envelope.js';
import { isOwnId } from '../core/message-ids.js';
import { type Metadata, writeMetadata } from '../internal/metadata.js';
import { isName } from '../internal/options.js';
import { decode, readKey } from './names.js';

/** The server deduplicates by this header, within the stream's `duplicate_window`. */
export const ID_HEADER = 'Nats-Msg-Id';

/** The id of the publisher, percent-encoded. Absent if the publisher gave none. */
export const GIVEN_ID_HEADER = 'Sluice-Id';

/** JSON in ASCII: a header of NATS contains no line break, and loses the spaces at its ends. */
export const HEADERS_HEADER = 'Sluice-Headers';

/** When a delayed message was published, in milliseconds since the epoch. */
export const PUBLISHED_AT_HEADER = 'Sluice-Published-At';

/** The place of a message in a stream that may have been created again. */
export interface Place {
  readonly sequence: number;
  /** When the server stored the message, in milliseconds since the epoch. */
  readonly storedAt: number;
}

/** What the reply subject of a delivery says. */
export interface DeliveryFacts extends Place {
  /** How often the message was delivered to the group. */
  readonly deliveries: number;
  /** How many later messages the group has not received. */
  readonly pending: number;
}

const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** How many tokens a reply subject without a domain and an account has. */
const SHORT_REPLY = 9;

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`,
 * or the form with a domain and an account before the stream and more at the end. Returns undefined
 * for any other subject.
 * @see https://docs.nats.io/reference/reference-protocols/nats_api_reference
 */
export function readFacts(reply: string): DeliveryFacts | undefined {
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK' || tokens.length < SHORT_REPLY) return undefined;
  const at = tokens.length === SHORT_REPLY ? 4 : 6;
  return {
    deliveries: Number(tokens[at]),
    sequence: Number(tokens[at + 1]),
    storedAt: Math.floor(Number(tokens[at + 3]) / NANOSECONDS_PER_MILLISECOND),
    pending: Number(tokens[at + 4]),
  };
}

/** Returns the id of a copy of a delivery: the same for each delivery of a message to a group. */
export function copyId(reply: string): string {
  const tokens = reply.split('.');
  const [stream, consumer, , sequence, , storedAt] = tokens.slice(tokens.length === SHORT_REPLY ? 2 : 4);
  return [stream, consumer, sequence, storedAt].join('.');
}

export type Readable = Pick<Msg, 'subject' | 'string' | 'headers'>;

/** Its token is its sequence number: several messages may have the same id. */
export type NatsMessage = Message & { readonly token: string };

/**
 * Reads a message of the stream. Returns the reason if it is invalid.
 * @param keyStart where the key begins in the subject
 */
export function readMessage(
  message: Readable,
  { deliveries, sequence, storedAt }: Omit<DeliveryFacts, 'pending'>,
  keyStart: number,
): NatsMessage | string {
  const headers = readHeaders(message);
  const content = readEnvelope({
    key: readKey(message.subject, keyStart),
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
    // A delayed message that is not due yet has zeros there.
    publishedAt: Number.isSafeInteger(publishedAt) && publishedAt !== 0 ? publishedAt : storedAt,
  };
}

/** Ignores the id of another program, which may give several messages the same `Nats-Msg-Id`. */
function readId(headers: MsgHdrs | undefined): string | undefined {
  const given = decode(headers?.get(GIVEN_ID_HEADER) ?? '');
  if (isName(given)) return given;
  const own = headers?.get(ID_HEADER) ?? '';
  return isOwnId(own) ? own : undefined;
}

/**
 * Encodes an id for a header. The result never equals an id that Sluice creates: a message that is
 * published with the id of a delivery is no duplicate of that delivery's message.
 */
export function encodeId(id: string): string {
  return isOwnId(id) ? `%${id.charCodeAt(0).toString(16)}${id.slice(1)}` : encodeURIComponent(id);
}

/** Returns undefined if there are no headers, or the client cannot parse them. */
function readHeaders(message: Pick<Msg, 'headers'>): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    // The payload decides whether the message is valid.
    return undefined;
  }
}

/** Omits the headers that instruct the server. */
export function copyHeaders(message: Pick<Msg, 'headers'>): MsgHdrs {
  const copy = createHeaders();
  const headers = readHeaders(message);
  for (const name of headers?.keys() ?? []) if (!/^Nats-/i.test(name)) copy.set(name, headers?.get(name) ?? '');
  return copy;
}

/** The digits of a time until the year 2286, and the longest `forwardId`. */
const TIME_DIGITS = 13;
const FORWARD_ID_LENGTH = 30;

/** Reserves space for `forwardHeaders` in a delayed message, which may have the maximum size. */
export function reservePublishedAt(hasGivenId: boolean): string {
  return '0'.repeat(hasGivenId ? TIME_DIGITS + FORWARD_ID_LENGTH : TIME_DIGITS);
}

/**
 * Creates the headers with which a delayed message is stored when it is due.
 * @param dedupeWindow of the stream, in milliseconds
 * @param now the server's time
 */
export function forwardHeaders(
  message: Msg,
  place: Place,
  { dedupeWindow, now }: { readonly dedupeWindow: number; readonly now: number },
): MsgHdrs {
  const headers = copyHeaders(message);
  const id = readHeaders(message)?.get(ID_HEADER) ?? '';
  // After the window, a message with the same id is no duplicate: it was published much later.
  const isLate = headers.has(GIVEN_ID_HEADER) && now - place.storedAt > dedupeWindow;
  if (id !== '') headers.set(ID_HEADER, isLate ? forwardId(place) : id);
  // A copy for one group says when the original was published.
  const publishedAt = Number(headers.get(PUBLISHED_AT_HEADER)) || place.storedAt;
  headers.set(PUBLISHED_AT_HEADER, String(publishedAt).padStart(TIME_DIGITS, '0'));
  return headers;
}

/** Creates the headers of a copy of a delayed message, for the group of one consumer. */
export function delayedCopyHeaders(message: Readable, place: Place, consumer: string): MsgHdrs {
  const headers = copyHeaders(message);
  const id = readId(readHeaders(message));
  if (id !== undefined) headers.set(GIVEN_ID_HEADER, encodeId(id));
  headers.set(ID_HEADER, `${forwardId(place)}/${consumer}`);
  headers.set(PUBLISHED_AT_HEADER, String(place.storedAt).padStart(TIME_DIGITS + FORWARD_ID_LENGTH, '0'));
  return headers;
}

/** Identifies a delayed message among the forwarded ones. No encoded id contains a slash. */
function forwardId({ sequence, storedAt }: Place): string {
  return `/${sequence.toString(36)}/${storedAt.toString(36)}`;
}

/** Writes metadata as JSON in ASCII. Undefined: there is none. */
export function writeHeadersHeader(metadata: Metadata): string | undefined {
  return writeMetadata(metadata)?.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
