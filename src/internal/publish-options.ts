import type { ConsumerGroup, MessageHeaders, PublishOptions } from '../backend.js';
import { copyHeaders } from './message.js';
import { checkMilliseconds, checkName, checkOptions, checkSignal } from './options.js';

/** The checked options of a publish. */
export interface PublishDetails {
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

/**
 * @throws {InvalidMessageError | TypeError | RangeError} if an option is invalid. The message names
 * the option.
 */
export function checkPublishOptions(options: PublishOptions): PublishDetails {
  const { headers, delay = 0, group, id, signal } = checkOptions(options);
  return {
    headers: copyHeaders(headers),
    delay: checkMilliseconds('delay', delay),
    group: group === undefined ? undefined : checkName('group', group),
    id: id === undefined ? undefined : checkName('id', id),
    signal: checkSignal('signal', signal),
  };
}
