import { AsyncLoopConsumer, MemoryBackend } from 'sluice';

interface Events {
  'order.placed': { readonly order: number };
}

const billers = 2; // 1 to 3
const auditTime = 500; // 100 to 3000, milliseconds

// Each group gets every message. Within a group, each message goes to one consumer.
const queue = new MemoryBackend<Events>({ name: 'orders', groups: ['billing', 'audit'] });

const consumers = [
  ...Array.from({ length: billers }, () => consume('billing', 1600)),
  consume('audit', auditTime), // Not slowed down by the other group.
];

for (let order = 1; order <= 8; order++) {
  await queue.publish('order.placed', { order });
  await pause(600);
}
await queue.close();
await Promise.all(consumers);

async function consume(group: string, duration: number): Promise<void> {
  const consumer = new AsyncLoopConsumer(queue, { group, prefetch: 2 });
  await consumer.run(async ({ order }) => {
    await pause(duration);
    console.log(`${group}: order ${order}`);
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
