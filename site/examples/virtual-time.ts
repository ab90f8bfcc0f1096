import { VirtualTimeScheduler } from 'rxjs';
import { AsyncLoopConsumer, MemoryBackend } from 'sluice';

interface Events {
  invoice: { readonly invoice: number };
}

const retryDelay = 60_000; // 1000 to 600000, milliseconds

// All timers of the queue and the consumer run on this scheduler: an hour takes no time.
const scheduler = new VirtualTimeScheduler();
const queue = new MemoryBackend<Events>({ name: 'invoices', scheduler });
const consumer = new AsyncLoopConsumer(queue, {
  scheduler,
  prefetch: 4,
  timeout: 5000,
  retry: { delay: retryDelay },
});
consumer.outcomes$.subscribe(({ status, delivery }) => {
  console.log(`${scheduler.now() / 1000} s: ${delivery.key}, attempt ${delivery.attempt}: ${status}`);
});

await queue.publish('invoice', { invoice: 1 });
await queue.publish('invoice', { invoice: 2 }, { delay: 3_600_000 });
await queue.close();

let ended = false;
const running = consumer.run(async ({ invoice }, { attempt }) => {
  if (invoice === 1 && attempt === 1) throw new Error('503 Service Unavailable');
  if (invoice === 1 && attempt === 2) await new Promise(() => {}); // Hangs: the timeout ends it.
});
void running.then(() => {
  ended = true;
});

// Lets promises settle, then runs the next timer. A test needs no second in between: it is for you.
while (!ended) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  scheduler.maxFrames = scheduler.actions[0]?.delay ?? 0;
  scheduler.flush();
}
console.log(`passed: ${scheduler.now() / 60_000} minutes in no time`);
