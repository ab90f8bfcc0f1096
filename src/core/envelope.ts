import type { MessageHeaders, QueueKey, QueuePayload } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { describe, kindOf } from '../internal/describe.js';
import { NO_HEADERS } from '../internal/message.js';
import { isName } from '../internal/options.js';

/** A message as it comes from a broker. */
export interface Message {
  readonly id: string;
  /** Identifies the message while it is in flight, where `id` may not: a publisher may choose one id for several messages. Default: `id`. */
  readonly token?: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
}

/** What a message is made of on the way. Somebody else may have written it. */
export interface Envelope {
  readonly key: unknown;
  /** JSON. */
  readonly payload: string | undefined;
  /** JSON; undefined for none. */
  readonly headers: string | undefined;
}

/** What a broker's message holds, or why it is no message of ours, in words that follow "is no message: ". */
export function readEnvelope({
  key,
  payload,
  headers,
}: Envelope): Pick<Message, 'key' | 'payload' | 'headers'> | string {
  if (!isName(key)) return `its "key" is ${describe(key)}`;
  const body = readObject('payload', payload);
  if (typeof body === 'string') return body;
  const facts = headers === undefined ? NO_HEADERS : readObject('headers', headers);
  if (typeof facts === 'string') return facts;
  const wrong = Object.keys(facts).find((name) => typeof facts[name as keyof typeof facts] !== 'string');
  if (wrong !== undefined) return `its "headers" have something else than a string under ${describe(wrong)}`;
  return { key, payload: body, headers: facts as MessageHeaders };
}

function readObject(part: string, json: string | undefined): object | string {
  let value: unknown;
  try {
    value = JSON.parse(json ?? '');
  } catch {
    // Not the error: it quotes the text, which is not to be logged.
    return json === undefined ? `it has no "${part}"` : `its "${part}" is not JSON`;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  return `its "${part}" is no JSON object but ${kindOf(value)}`;
}

/** The JSON of headers; undefined for none. */
export function writeHeaders(headers: MessageHeaders): string | undefined {
  return Object.keys(headers).length === 0 ? undefined : JSON.stringify(headers);
}

/** The most bytes that a character of a JavaScript string takes in UTF-8. */
const MOST_BYTES_PER_CHARACTER = 3;

/**
 * A payload that JSON does not change, as JSON.
 * @param most how many bytes the broker takes
 * @throws {InvalidMessageError} where it is longer
 */
export function writePayload(payload: QueuePayload, most: number, broker: string): string {
  let json: string;
  try {
    json = JSON.stringify(payload);
  } catch (error) {
    // Nothing in it but its length can make that fail.
    throw tooLong('more than a string can hold', { most, broker }, error);
  }
  if (json.length * MOST_BYTES_PER_CHARACTER > most) {
    const bytes = Buffer.byteLength(json);
    if (bytes > most) throw tooLong(`${bytes} bytes`, { most, broker });
  }
  return json;
}

function tooLong(
  received: string,
  { most, broker }: { most: number; broker: string },
  cause?: unknown,
): InvalidMessageError {
  return new InvalidMessageError(
    'payload',
    `at most ${most} bytes of JSON, which is the most that ${broker} takes`,
    received,
    { cause },
  );
}
