import { LONGEST_TIMER } from './after.js';
import { type Env, readMilliseconds } from './environment.js';
import { checkMilliseconds } from './options.js';

/** The range that every engine accepts: JetStream refuses a `duplicate_window` below 100 ms. */
const RANGE = { least: 100, most: LONGEST_TIMER } as const;

export const DEFAULT_DEDUPE_WINDOW = 120_000;

/** @throws {TypeError | RangeError} if the window is invalid */
export function checkDedupeWindow(window: number = DEFAULT_DEDUPE_WINDOW): number {
  return checkMilliseconds('dedupeWindow', window, RANGE);
}

/**
 * Reads QUEUE_DEDUPE_WINDOW. @throws {ConfigurationError} unless it is an integer in the range, or
 * not set
 */
export function readDedupeWindow(env: Env): number | undefined {
  return readMilliseconds(env, 'QUEUE_DEDUPE_WINDOW', RANGE);
}
