import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import type { Tally } from '../support/tally.js';

/** Number of concurrent publishes. */
export const AT_ONCE = 64;

export interface LoadOptions {
  readonly tally: Tally;
  /** The number of the first message. @default 0 */
  readonly from?: number;
  readonly count: number;
  /**
   * Maximum number of published messages that are not handled, so that publishing lasts as long as
   * consuming. @default no limit
   */
  readonly ahead?: number;
  /** Stops publishing early. */
  readonly signal?: AbortSignal;
}

/**
 * Publishes messages `{ id }` once each and records the result of each publish. Resolves after the
 * last.
 */
export async function publishLoad(
  queue: QueueBackend,
  { tally, from = 0, count, ahead = Number.POSITIVE_INFINITY, signal }: LoadOptions,
): Promise<void> {
  let next = from;
  const publisher = async () => {
    while (next < from + count) {
      const id = next++;
      while (id >= tally.over + ahead && !signal?.aborted) await sleep(5);
      if (signal?.aborted) return;
      await tally.published(id, queue.publish('load', { id }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, publisher));
}
