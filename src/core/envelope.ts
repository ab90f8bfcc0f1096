import type { MessageHeaders, QueueKey, QueuePayload } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { describe, kindOf } from '../internal/describe.js';
import { NO_HEADERS } from '../internal/message.js';
import { isName } from '../internal/options.js';

/** A message that an engine delivers. */
export interface Message {
  readonly id: string;
  /**
   * Identifies the message while it is in flight. `id` may not: a publisher may give one id to
   * several messages. Default: `id`.
   */
  readonly token?: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
}

/** The stored parts of a message. Another program may have written them. */
export interface Envelope {
  readonly key: unknown;
  /** JSON. */
  readonly payload: string | undefined;
  /** JSON. Undefined: there are none. */
  readonly headers: string | undefined;
}

/**
 * Reads a stored message. Returns the reason if it is invalid, in words that follow "is invalid: ".
 */
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
  if (wrong !== undefined) return `its header ${describe(wrong)} is not a string`;
  return { key, payload: body, headers: facts as MessageHeaders };
}

function readObject(part: string, json: string | undefined): object | string {
  let value: unknown;
  try {
    value = JSON.parse(json ?? '');
  } catch {
    // The error quotes the text, which must not be logged.
    return json === undefined ? `it has no "${part}"` : `its "${part}" is not JSON`;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  return `its "${part}" is not a JSON object but ${kindOf(value)}`;
}

/** Writes headers as JSON. Undefined: there are none. */
export function writeHeaders(headers: MessageHeaders): string | undefined {
  return Object.keys(headers).length === 0 ? undefined : JSON.stringify(headers);
}

/** The most bytes that UTF-8 uses for one UTF-16 code unit. */
const MOST_BYTES_PER_CHARACTER = 3;

/**
 * Writes a checked payload as JSON.
 * @param most how many bytes the engine accepts
 * @throws {InvalidMessageError} if the JSON is longer
 */
export function writePayload(payload: QueuePayload, most: number, engine: string): string {
  let json: string;
  try {
    json = JSON.stringify(payload);
  } catch (error) {
    // A checked payload can fail only because of its length.
    throw tooLong('more than a string can hold', { most, engine }, error);
  }
  if (json.length * MOST_BYTES_PER_CHARACTER > most) {
    const bytes = Buffer.byteLength(json);
    if (bytes > most) throw tooLong(`${bytes} bytes`, { most, engine });
  }
  return json;
}

function tooLong(
  received: string,
  { most, engine }: { most: number; engine: string },
  cause?: unknown,
): InvalidMessageError {
  return new InvalidMessageError('payload', `at most ${most} bytes of JSON, the limit of ${engine}`, received, {
    cause,
  });
}
