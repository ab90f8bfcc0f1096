import { AsyncLoopConsumer, MemoryBackend } from 'sluice';

interface Events {
  'order.placed': { readonly order: number };
}

const retries = 2; // 0 to 5
const delay = 2000; // 0 to 5000, milliseconds
const failures = 30; // 0 to 100, percent

const orders = new MemoryBackend<Events>({ name: 'orders' });
const failed = new MemoryBackend<Events>({ name: 'orders.failed' });
const consumer = new AsyncLoopConsumer(orders, {
  prefetch: 3,
  concurrency: 2,
  retry: { count: retries, delay },
  deadLetter: failed, // Takes what has failed for good.
});

const random = seededRandom(7);
const running = consumer.run(async ({ order }, { attempt }) => {
  await pause(800);
  if (order === 3) throw new Error('The card has expired');
  if (random() * 100 < failures) throw new Error('503 Service Unavailable');
  console.log(`order ${order} is paid, attempt ${attempt}`);
});

for (let order = 1; order <= 8; order++) await orders.publish('order.placed', { order });
await orders.close(); // Delayed messages are still retried.
await running;

await failed.close();
for await (const { payload, headers } of failed.deliveries()) {
  console.log(`dead letter: order ${payload.order}, ${headers['sluice-error']}`);
  await pause(1500);
}

/** Returns the same numbers in each run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
