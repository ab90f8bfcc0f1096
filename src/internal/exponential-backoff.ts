import { checkMilliseconds, checkOptions, checkShare } from './options.js';

/** Beyond this, the factor would be Infinity, and 0 × Infinity is NaN. */
const MAX_DOUBLINGS = 1000;

export interface ExponentialBackoffOptions {
  /** The first delay, in milliseconds, >= 0. Default: 1,000, or `max` if that is less. */
  readonly initial?: number | undefined;
  /**
   * The longest delay, in milliseconds, at least `initial`. Default: 30,000, or `initial` if that
   * is more.
   */
  readonly max?: number | undefined;
  /**
   * The random part of each delay, from 0 to 1: a delay d becomes a value from d × (1 - jitter) to
   * d. Default: 0.2.
   */
  readonly jitter?: number | undefined;
}

/**
 * Creates delays for `retry.delay` that double with each retry, up to a cap. Each is shortened at
 * random, so that messages that failed together are not retried together.
 *
 * @example
 * ```ts
 * const delay = exponentialBackoff({ initial: 100, max: 1000, jitter: 0 });
 * [1, 2, 3, 4, 5].map((retryCount) => delay(undefined, retryCount)); // [100, 200, 400, 800, 1000]
 * ```
 * @returns a function of the error and the number of the retry, from 1 up, to milliseconds
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
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
    Math.min(max, initial * 2 ** Math.min(retryCount - 1, MAX_DOUBLINGS)) * (1 - jitter * Math.random());
}
