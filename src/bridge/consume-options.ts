import type { ConsumeOptions, ConsumerGroup } from '../backend.js';
import { checkCount, checkName, checkOptions, checkSignal } from '../internal/options.js';

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
