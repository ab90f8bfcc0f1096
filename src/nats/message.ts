import type { Msg } from '@nats-io/transport-node';
import type { MessageHeaders } from '../backend.js';
import { type Message, readEnvelope, writeHeaders } from '../broker/message.js';
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
  return { deliveries: Number(tokens[at]), sequence: Number(tokens[at + 1]), storedAt: Math.floor(Number(tokens[at + 3]) / PER_MILLISECOND) };
}

/** A message of the stream, or why it is none. @param prefix how many characters stand before the key in the subject */
export function readMessage(message: Msg, { deliveries, sequence, storedAt }: DeliveryFacts, prefix: number): Message | string {
  const { headers } = message;
  const content = readEnvelope({
    key: readKey(message.subject, prefix),
    payload: message.string(),
    headers: headers?.get(HEADERS_HEADER) || undefined,
  });
  if (typeof content === 'string') return content;
  const publishedAt = Number(headers?.get(PUBLISHED_AT_HEADER) || Number.NaN);
  return {
    id: headers?.get(ID_HEADER) || String(sequence),
    ...content,
    attempt: deliveries,
    publishedAt: Number.isSafeInteger(publishedAt) ? publishedAt : storedAt,
  };
}

/** Headers as a header of NATS can hold them; undefined for none. */
export function writeHeadersHeader(headers: MessageHeaders): string | undefined {
  return writeHeaders(headers)?.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
