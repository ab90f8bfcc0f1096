import type { ConsumerGroup, Delivery, MessageHeaders } from '../backend.js';
import { describeError } from './describe.js';
import type { Metadata } from './metadata.js';

/**
 * The longest text of an error in a header, in UTF-16 code units: for the first try, and after the
 * queue has refused the message. After the last one, the dead letter has none of these headers.
 */
export const LONGEST_ERRORS: readonly number[] = [1000, 100];

/** The headers that describe the failure. They replace those of an earlier dead-lettering. */
const OURS = new Set(['sluice-error', 'sluice-attempts', 'sluice-queue', 'sluice-group']);

/**
 * Returns the headers of the message, and those that describe its failure.
 * @param group undefined if it is not known
 * @param longest the longest text of the error; undefined leaves our headers out
 */
export function headersOf(
  { attempt, queue }: Delivery,
  { headers }: Metadata,
  error: unknown,
  group: ConsumerGroup | undefined,
  longest: number | undefined,
): MessageHeaders {
  const others = Object.fromEntries(Object.entries({ ...headers }).filter(([name]) => !OURS.has(name)));
  if (longest === undefined) return others;
  const ours = { 'sluice-error': textOf(error, longest), 'sluice-attempts': String(attempt), 'sluice-queue': queue };
  return { ...others, ...ours, ...(group !== undefined && { 'sluice-group': group }) };
}

/** Describes an error within a length, without half a character, which no backend accepts. */
export function textOf(error: unknown, longest = LONGEST_ERRORS[0]): string {
  return describeError(error)
    .slice(0, longest)
    .replaceAll(/\p{Surrogate}/gu, '\ufffd');
}
