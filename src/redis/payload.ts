import type { QueuePayload } from '../backend.js';
import { InvalidMessageError } from '../errors.js';

/** The longest string that Redis takes (its `proto-max-bulk-len`), in bytes. */
const MOST_BYTES = 512 * 1024 * 1024;

/** The most bytes that a character of a JavaScript string takes in UTF-8. */
const MOST_BYTES_PER_CHARACTER = 3;

/**
 * A payload that JSON does not change, as JSON.
 * @throws {InvalidMessageError} where it is longer than Redis takes
 */
export function writePayload(payload: QueuePayload): string {
  let json: string;
  try {
    json = JSON.stringify(payload);
  } catch (error) {
    // Nothing in it but its length can make that fail.
    throw tooLong('more than a string can hold', error);
  }
  if (json.length * MOST_BYTES_PER_CHARACTER > MOST_BYTES) {
    const bytes = Buffer.byteLength(json);
    if (bytes > MOST_BYTES) throw tooLong(`${bytes} bytes`);
  }
  return json;
}

function tooLong(received: string, cause?: unknown): InvalidMessageError {
  return new InvalidMessageError('payload', `at most ${MOST_BYTES} bytes of JSON, which is the most that Redis takes`, received, { cause });
}
