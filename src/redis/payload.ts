import type { QueuePayload } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { copyAsJson } from '../internal/message.js';

/** The longest string that Redis takes (its `proto-max-bulk-len`), in bytes. */
const MOST_BYTES = 512 * 1024 * 1024;

/** The most bytes that a character of a JavaScript string takes in UTF-8. */
const MOST_BYTES_PER_CHARACTER = 3;

/**
 * A payload as JSON.
 * @throws {InvalidMessageError} where JSON would change it, and where it is longer than Redis takes
 */
export function writePayload(payload: QueuePayload): string {
  const copy = copyAsJson(payload);
  let json: string;
  try {
    json = JSON.stringify(copy);
  } catch (error) {
    // Nothing in the copy but its length can make it fail.
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
