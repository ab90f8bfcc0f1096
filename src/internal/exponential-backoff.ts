import { checkMilliseconds, checkOptions, checkShare } from './options.js';

/** Beyond it the factor would be Infinity, and nothing times that is no number. */
const MOST_DOUBLINGS = 1000;

export interface ExponentialBackoffOptions {
  /** The first delay, in milliseconds, from 0 up. Default: 1,000, or `max` where that is less. */
  readonly initial?: number | undefined;
  /** The longest delay, in milliseconds, not less than `initial`. Default: 30,000, or `initial` where that is more. */
  readonly max?: number | undefined;
  /** Which part of each delay is left to chance, from 0 to 1: a delay of d is anything from d × (1 - jitter) to d. Default: 0.2. */
  readonly jitter?: number | undefined;
}

/**
 * Delays for `retry.delay` that double from one retry to the next up to a cap, each shortened by chance, so that what failed together does not come
 * back together.
 *
 * @example
 * ```ts
 * const delay = exponentialBackoff({ initial: 100, max: 1000, jitter: 0 });
 * [1, 2, 3, 4, 5].map((retryCount) => delay(undefined, retryCount)); // [100, 200, 400, 800, 1000]
 * ```
 * @returns a function of the error and the number of the retry, from 1 up, to milliseconds
 * @throws {TypeError | RangeError} for an option without sense
 */
export function exponentialBackoff(
  options?: ExponentialBackoffOptions,
): (error: unknown, retryCount: number) => number {
  const given = checkOptions(options);
  if (given.max !== undefined) checkMilliseconds('max', given.max);
  const {
    jitter = 0.2,
    initial = Math.min(1000, given.max ?? 1000),
    max = Math.max(30_000, given.initial ?? 0),
  } = given;
  checkMilliseconds('initial', initial);
  checkShare('jitter', jitter);
  if (max < initial) throw new RangeError(`Expected \`max\` to be at least \`initial\` (${initial}), got ${max}`);
  return (_error, retryCount) =>
    Math.min(max, initial * 2 ** Math.min(retryCount - 1, MOST_DOUBLINGS)) * (1 - jitter * Math.random());
}
