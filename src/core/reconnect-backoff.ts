import { exponentialBackoff } from '../internal/exponential-backoff.js';

/** The first and the longest backoff, in milliseconds. */
const FIRST = 50;
const LONGEST = 5000;

/**
 * Creates the backoff between two attempts to connect, or to resume a group: 50 ms, doubled after
 * each failure, up to 5,000 ms, each shortened at random by up to a half. Up to a third of the
 * lease if that is less: after an outage, a consumer must return before its lease expires.
 * @param lease in milliseconds. Default: the engine has none
 * @returns a function of the error and the number of failures, from 1 up, to milliseconds
 */
export function reconnectBackoff(lease = Number.POSITIVE_INFINITY): (error: unknown, failures: number) => number {
  const max = Math.min(LONGEST, Math.max(FIRST, lease / 3));
  return exponentialBackoff({ initial: FIRST, max, jitter: 0.5 });
}
