import type { Delivery } from 'sluice';
import type { PostgresBackend } from 'sluice/postgres';

/** Returns what a test has published. */
export const numberOf = ({ payload }: Delivery): unknown => (payload as { readonly n?: unknown }).n;

/** Takes the next messages and acknowledges them. */
export async function take(queue: PostgresBackend, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  for await (const delivery of queue.deliveries()) {
    taken.push(numberOf(delivery));
    await delivery.ack();
    if (taken.length === count) break;
  }
  return taken;
}

/** Takes all messages that were stored before this call. */
export async function takeAll(queue: PostgresBackend): Promise<unknown[]> {
  await queue.publish('end', {});
  const taken: unknown[] = [];
  for await (const delivery of queue.deliveries()) {
    await delivery.ack();
    if (delivery.key === 'end') break;
    taken.push(numberOf(delivery));
  }
  return taken;
}
