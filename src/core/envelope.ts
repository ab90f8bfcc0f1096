import type { QueueKey, QueuePayload } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { describe } from '../internal/describe.js';
import { type Metadata, readMetadata, readObject } from '../internal/metadata.js';
import { isName } from '../internal/options.js';

/** A message that an engine delivers. */
export interface Message extends Metadata {
  readonly id: string;
  /**
   * Identifies the message while it is in flight. `id` may not: a publisher may give one id to
   * several messages. Default: `id`.
   */
  readonly token?: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly attempt: number;
  readonly publishedAt: number;
}

/** The stored parts of a message. Another program may have written them. */
export interface Envelope {
  readonly key: unknown;
  /** JSON. */
  readonly payload: string | undefined;
  /** As `writeMetadata` writes it. Undefined: there is none. */
  readonly metadata: string | undefined;
}

/**
 * Reads a stored message. Returns the reason if it is invalid, in words that follow "is invalid: ".
 */
export function readEnvelope(envelope: Envelope): (Pick<Message, 'key' | 'payload'> & Metadata) | string {
  const { key } = envelope;
  if (!isName(key)) return `its "key" is ${describe(key)}`;
  const payload = readObject('payload', envelope.payload);
  if (typeof payload === 'string') return payload;
  const metadata = readMetadata(envelope.metadata);
  return typeof metadata === 'string' ? metadata : { key, payload, ...metadata };
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
