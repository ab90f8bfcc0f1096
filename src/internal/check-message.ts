import type { MessageHeaders, PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import { checkKey, copyAsJson, NO_HEADERS } from './message.js';
import { checkPublishOptions } from './publish-options.js';

/** What a `publish` was given, checked: nothing of it changes any more, whatever its caller does. */
export interface CheckedMessage {
  readonly key: QueueKey;
  /** A copy that JSON does not change. */
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  /** In milliseconds; 0 for none. */
  readonly delay: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Checks the arguments of a `publish`, as every broker has to: the key, that JSON leaves the payload as it is, the headers, the delay and the signal.
 *
 * *When to use*: to write a backend, as the first thing that its `publish` does. Inside an async function what it throws is a rejection.
 * @throws {InvalidMessageError} for a key, payload or header that cannot be sent; it names the path
 * @throws {TypeError | RangeError} for a delay or a signal without sense
 */
export function checkMessage(key: unknown, payload: unknown, options?: PublishOptions): CheckedMessage {
  checkKey(key);
  const copy = copyAsJson(payload);
  const { headers, delay, signal } = options === undefined ? { headers: NO_HEADERS, delay: 0, signal: undefined } : checkPublishOptions(options);
  return { key: key as QueueKey, payload: copy, headers, delay, signal };
}
