import { type Delivery, MemoryBackend } from 'sluice';

interface Events {
  order: { readonly order: number };
}

const prefetch = 3; // 1 to 6

const queue = new MemoryBackend<Events>({ name: 'orders' });
for (let order = 1; order <= 6; order++) await queue.publish('order', { order });

const lost = queue.deliveries({ prefetch }).subscribe((delivery) => void work('consumer 1', delivery));
await pause(3200);

// As in a crash, the consumer is gone with what it has in flight. The queue takes it back.
lost.unsubscribe();
console.log(`consumer 1 is lost, unfinished: ${queue.unfinished}`);
await pause(1500);

await queue.close();
for await (const delivery of queue.deliveries({ prefetch })) await work('consumer 2', delivery);
console.log(`unfinished: ${queue.unfinished}`);

async function work(name: string, delivery: Delivery<Events>): Promise<void> {
  await pause(delivery.payload.order * 1000);
  if (delivery.settled) return; // Requeued meanwhile.
  await delivery.ack();
  console.log(`${name}: order ${delivery.payload.order}, attempt ${delivery.attempt}`);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
