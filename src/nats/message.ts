import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import type { MessageHeaders } from '../backend.js';
import { type Message, readEnvelope, writeHeaders } from '../core/envelope.js';
import { isOwnId } from '../core/message-ids.js';
import { readKey } from './names.js';

/** By this id the server knows a message that is sent again. It is the `id` of the delivery too. */
export const ID_HEADER = 'Nats-Msg-Id';

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

/** A message of the stream, or why it is none. @param prefix how many characters stand before the key in the subject */
export function readMessage(
  message: Msg,
  { deliveries, sequence, storedAt }: DeliveryFacts,
  prefix: number,
): Message | string {
  const headers = readHeaders(message);
  const content = readEnvelope({
    key: readKey(message.subject, prefix),
    payload: message.string(),
    headers: headers?.get(HEADERS_HEADER) || undefined,
  });
  if (typeof content === 'string') return content;
  const id = headers?.get(ID_HEADER) ?? '';
  const publishedAt = Number(headers?.get(PUBLISHED_AT_HEADER) || Number.NaN);
  return {
    // Another message may have the id that another program gave.
    id: isOwnId(id) ? id : String(sequence),
    ...content,
    attempt: deliveries,
    publishedAt: Number.isSafeInteger(publishedAt) ? publishedAt : storedAt,
  };
}

/** The headers of a message; undefined where it has none, or what the client cannot read. */
export function readHeaders(message: Msg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    // The payload decides whether this is a message, and is kept in any case.
    return undefined;
  }
}

/** A copy of the headers of a message, without those that tell the server what to do. */
export function copyHeaders(message: Msg): MsgHdrs {
  const copy = createHeaders();
  const headers = readHeaders(message);
  for (const name of headers?.keys() ?? []) if (!/^Nats-/i.test(name)) copy.set(name, headers?.get(name) ?? '');
  return copy;
}

/** When a message was published, as a header; of one that waits for its time, so many characters for it. */
export function writePublishedAt(milliseconds: number): string {
  return String(milliseconds).padStart(13, '0');
}

/** Headers as a header of NATS can hold them; undefined for none. */
export function writeHeadersHeader(headers: MessageHeaders): string | undefined {
  return writeHeaders(headers)?.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
