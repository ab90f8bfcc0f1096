import type { ConsumerGroup, MessageHeaders, PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import { checkKey, copyAsJson, NO_HEADERS } from './message.js';
import { checkPublishOptions, type PublishDetails } from './publish-options.js';

/** The checked and copied arguments of a `publish`: later changes by the caller have no effect. */
export interface CheckedMessage {
  readonly key: QueueKey;
  /** A copy as `JSON.parse(JSON.stringify(payload))` would return it. */
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  /** In milliseconds. 0: no delay. */
  readonly delay: number;
  /**
   * The only group that gets the message. Undefined: every group. The backend checks that it is
   * declared.
   */
  readonly group: ConsumerGroup | undefined;
  /** The id that the publisher gave, for deduplication. Undefined: it gave none. */
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
 * Checks and copies the arguments of a `publish`, as every engine must: the key, the headers, the
 * options, and that JSON does not change the payload.
 *
 * *When to use*: to write a backend, as the first step of its `publish`. In an async function, its
 * errors are rejections.
 * @throws {InvalidMessageError} if the key, the payload or a header is invalid. The message names
 * the path.
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 */
export function checkMessage(key: unknown, payload: unknown, options?: PublishOptions): CheckedMessage {
  checkKey(key);
  const copy = copyAsJson(payload);
  const { headers, delay, group, id, signal } = options === undefined ? NO_DETAILS : checkPublishOptions(options);
  return { key: key as QueueKey, payload: copy, headers, delay, group, id, signal };
}
