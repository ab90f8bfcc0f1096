import type { ConsumerGroup, PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import { ConfigurationError } from '../errors.js';
import { checkKey, copyAsJson } from './message.js';
import { checkMetadata, type Metadata, NO_METADATA } from './metadata.js';
import { checkMilliseconds, checkName, checkOptions, checkSignal } from './options.js';

/** The checked and copied arguments of a `publish`: later changes by the caller have no effect. */
export interface CheckedMessage extends PublishDetails {
  readonly key: QueueKey;
  /** A copy as `JSON.parse(JSON.stringify(payload))` would return it. */
  readonly payload: QueuePayload;
}

const NO_DETAILS: PublishDetails = {
  ...NO_METADATA,
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
  const details = options === undefined ? NO_DETAILS : checkPublishOptions(options);
  return { key: key as QueueKey, payload: copy, ...details };
}

/** The checked options of a publish. */
export interface PublishDetails extends Metadata {
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

/**
 * @throws {InvalidMessageError | TypeError | RangeError} if an option is invalid. The message names
 * the option.
 */
export function checkPublishOptions(options: PublishOptions): PublishDetails {
  const { delay = 0, group, id, signal } = checkOptions(options);
  // No spread: it would cost more than the rest of a publish on memory.
  const { headers } = checkMetadata(options);
  return {
    headers,
    delay: checkMilliseconds('delay', delay),
    group: group === undefined ? undefined : checkName('group', group),
    id: id === undefined ? undefined : checkName('id', id),
    signal: checkSignal('signal', signal),
  };
}

/**
 * Checks that a group is declared.
 *
 * *When to use*: to write a backend, in `publish` and `stats` if a group is given.
 * @throws {ConfigurationError} if `group` is not declared. The message names the declared groups
 * and both ways to declare one.
 */
export function checkDeclared(group: ConsumerGroup, declared: readonly ConsumerGroup[], queue: string): void {
  if (declared.includes(group)) return;
  const known = declared.map((name) => JSON.stringify(name)).join(', ');
  throw new ConfigurationError(
    `Group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)} is not declared; declared: ${known}. ` +
      'Add it to the `groups` option or to QUEUE_GROUPS, in every process that uses this queue.',
  );
}
