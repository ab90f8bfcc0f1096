import type { MessageHeaders, PublishOptions } from '../backend.js';
import { copyHeaders } from './message.js';
import { checkMilliseconds, checkOptions, checkSignal } from './options.js';

/** What a publish says besides its key and payload, if it says anything; checked. */
export interface PublishDetails {
  readonly headers: MessageHeaders;
  /** In milliseconds; 0 for none. */
  readonly delay: number;
  readonly signal: AbortSignal | undefined;
}

/** @throws {InvalidMessageError | TypeError | RangeError} for headers, a delay or a signal without sense */
export function checkPublishOptions(options: PublishOptions): PublishDetails {
  const { headers, delay = 0, signal } = checkOptions(options);
  return { headers: copyHeaders(headers), delay: checkMilliseconds('delay', delay), signal: checkSignal('signal', signal) };
}
