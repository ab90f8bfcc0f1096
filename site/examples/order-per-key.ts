import { AsyncLoopConsumer, MemoryBackend } from 'sluice';

type Events = Record<'alice' | 'bob' | 'carol', { readonly step: number }>;

const order: 'key' | 'none' = 'key'; // 'key' or 'none'
const concurrency = 3; // 1 to 6

const queue = new MemoryBackend<Events>({ name: 'accounts' });
for (let step = 1; step <= 4; step++) {
  for (const account of ['alice', 'bob', 'carol'] as const) await queue.publish(account, { step });
}
await queue.close();

const done = new Map<string, number[]>();
const consumer = new AsyncLoopConsumer(queue, {
  prefetch: 8, // More than `concurrency`: some deliveries wait behind others of their key.
  concurrency,
  orderBy: order === 'key' ? 'key' : undefined, // One handler per key at a time.
  retry: { delay: 1000 },
});
await consumer.run(async ({ step }, { key, attempt }) => {
  await pause(key === 'alice' && step === 1 ? 3000 : 900);
  if (key === 'bob' && step === 2 && attempt === 1) throw new Error('503 Service Unavailable');
  done.set(key, [...(done.get(key) ?? []), step]);
});

for (const account of [...done.keys()].sort()) console.log(`${account}: ${done.get(account)?.join(' ')}`);

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
