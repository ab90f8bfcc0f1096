import { AsyncLoopConsumer, MemoryBackend } from 'sluice';

interface Events {
  'order.placed': { readonly order: number };
}

const duration = 1500; // 200 to 4000, milliseconds

const queue = new MemoryBackend<Events>({ name: 'orders' });
const consumer = new AsyncLoopConsumer(queue, { prefetch: 2 });

// The message is acknowledged when its handler ends.
const running = consumer.run(async ({ order }) => {
  console.log(`order ${order}: started`);
  await pause(duration);
  console.log(`order ${order}: done`);
});

for (let order = 1; order <= 5; order++) {
  await queue.publish('order.placed', { order });
  await pause(1000);
}

await queue.close(); // No more publishes. The consumer still gets what waits.
await running;
console.log(`unfinished: ${queue.unfinished}`);

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
