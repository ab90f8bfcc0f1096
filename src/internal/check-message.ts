import type { ConsumerGroup, MessageHeaders, PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import { checkKey, copyAsJson, NO_HEADERS } from './message.js';
import { checkPublishOptions, type PublishDetails } from './publish-options.js';

/** What a `publish` was given, checked: nothing of it changes any more, whatever its caller does. */
export interface CheckedMessage {
  readonly key: QueueKey;
  /** A copy that JSON does not change. */
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  /** In milliseconds; 0 for none. */
  readonly delay: number;
  /** The only group that gets the message; undefined for all. The backend checks that it is declared. */
  readonly group: ConsumerGroup | undefined;
  /** The publisher's own id of the message, for deduplication; undefined: it has none. */
  readonly id: string | undefined;
  readonly signal: AbortSignal | undefined;
}

const NO_DETAILS: PublishDetails = {
  headers: NO_HEADERS,
  delay: 0,
  group: undefined,
  id: undefined,
  signal: undefined,
};

/**
 * Checks the arguments of a `publish`, as every broker has to: the key, that JSON leaves the payload as it is, the headers, the delay, the name of the group and the signal.
 *
 * *When to use*: to write a backend, as the first thing that its `publish` does. Inside an async function what it throws is a rejection.
 * @throws {InvalidMessageError} for a key, payload or header that cannot be sent; it names the path
 * @throws {TypeError | RangeError} for a delay or a signal without sense
 */
export function checkMessage(key: unknown, payload: unknown, options?: PublishOptions): CheckedMessage {
  checkKey(key);
  const copy = copyAsJson(payload);
  const { headers, delay, group, id, signal } = options === undefined ? NO_DETAILS : checkPublishOptions(options);
  return { key: key as QueueKey, payload: copy, headers, delay, group, id, signal };
}
