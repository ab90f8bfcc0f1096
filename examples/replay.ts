/**
 * Replays dead letters, on every backend. A broker's queue does not end, so `replay` asks how many
 * dead letters are ready.
 *
 * `billing-service.ts` uses it.
 */
import type { QueueBackend } from 'sluice';

/**
 * Publishes the ready dead letters, each to the queue and the group in which it failed. Returns how
 * many it published.
 *
 * A message that fails again becomes a new dead letter, which waits for the next replay. If a
 * publish fails, `replay` rejects and the dead letter stays.
 *
 * @param queues the queues that the dead letters come from
 * @param signal stops after the current dead letter
 */
export async function replay(
  failed: QueueBackend,
  queues: readonly QueueBackend[],
  signal?: AbortSignal,
): Promise<number> {
  const { ready } = await failed.stats();
  let replayed = 0;
  if (ready === 0) return replayed;
  for await (const letter of failed.deliveries({ signal })) {
    const { 'sluice-queue': name, 'sluice-group': group } = letter.headers;
    const queue = queues.find((queue) => queue.name === name);
    if (queue === undefined)
      throw new Error(`Dead letter ${letter.id} is from queue "${name}". Pass that queue to replay.`);
    const headers = Object.fromEntries(
      Object.entries(letter.headers).filter(([header]) => !header.startsWith('sluice-')),
    );
    await queue.publish(letter.key, letter.payload, { headers, group });
    replayed++;
    // Asks before the ack: after it, the next dead letter may be in flight here, and is not ready.
    const isLast = replayed >= ready || (await failed.stats()).ready === 0;
    await letter.ack();
    if (isLast) break;
  }
  return replayed;
}
