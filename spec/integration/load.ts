import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import type { Tally } from '../support/tally.js';

export interface LoadOptions {
  readonly tally: Tally;
  /** The number of the first message. @default 0 */
  readonly from?: number;
  readonly count: number;
  /** How many publishes are under way at once. @default 64 */
  readonly atOnce?: number;
  /** How many messages may be published and not done, so that publishing lasts as long as consuming. @default no limit */
  readonly ahead?: number;
}

/** Publishes messages `{ id }`, each once, and notes how each publish ended. Resolves when the last has. */
export async function publishLoad(queue: QueueBackend, { tally, from = 0, count, atOnce = 64, ahead = count }: LoadOptions): Promise<void> {
  let next = from;
  const publisher = async () => {
    while (next < from + count) {
      const id = next++;
      while (id - from >= tally.done + ahead) await sleep(5);
      await tally.published(id, queue.publish('load', { id }));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, publisher));
}
