import { ConnectionLostError } from '../core/engine-errors.js';
import { ResponseTimeout } from '../core/response-timeout.js';

/** The usual timeout, in milliseconds: half of the default `publishTimeout`. The other half is left to send a message again. */
const USUAL = 5000;

/** How many times the usual timeout a slow server gets at most. */
const MAX_SLOWNESS = 8;

/** The slowest link that is expected, in bytes per millisecond. */
const SLOWEST_LINK = 50;

/** The server did not answer a request in time. It may have carried it out. */
export class OverdueError extends ConnectionLostError {}

export function newResponseTimeout(): ResponseTimeout {
  return new ResponseTimeout(USUAL, MAX_SLOWNESS);
}

/** How long the server takes at most to read so many bytes, in milliseconds. */
export function readingTime(bytes: number): number {
  return bytes / SLOWEST_LINK;
}
