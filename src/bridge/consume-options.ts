import type { ConsumeOptions, ConsumerGroup, PeekOptions } from '../backend.js';
import { checkCount, checkName, checkOptions, checkSignal } from '../internal/options.js';

/** How many messages `peek` shows by default. */
const DEFAULT_PEEK_LIMIT = 20;

/** The group of a consumer that names none. */
export const DEFAULT_GROUP: ConsumerGroup = 'default';

export interface CheckedConsumeOptions {
  readonly group: ConsumerGroup;
  /** As given: the default depends on the way of consuming. */
  readonly prefetch: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkConsumeOptions(options: ConsumeOptions | undefined): CheckedConsumeOptions {
  const { group = DEFAULT_GROUP, prefetch, signal } = checkOptions(options);
  return {
    group: checkName('group', group),
    prefetch: prefetch === undefined ? undefined : checkCount('prefetch', prefetch),
    signal: checkSignal('signal', signal),
  };
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkPeekOptions(options: PeekOptions | undefined): {
  readonly group: ConsumerGroup;
  readonly limit: number;
} {
  const { group = DEFAULT_GROUP, limit = DEFAULT_PEEK_LIMIT } = checkOptions(options);
  return { group: checkName('group', group), limit: checkCount('limit', limit) };
}
