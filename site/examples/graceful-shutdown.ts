import { AsyncLoopConsumer, MemoryBackend } from 'sluice';

interface Events {
  job: { readonly job: number };
}

const timeout = 4000; // 0 to 4000, milliseconds
const prefetch = 4; // 2 to 8

const queue = new MemoryBackend<Events>({ name: 'jobs' });
for (let job = 1; job <= 10; job++) await queue.publish('job', { job });

const first = newConsumer();
const running = first.run(handlerOf('consumer 1'));
await pause(3000);

// A service does this on SIGTERM. Running handlers finish; what waits goes back to the queue.
console.log('consumer 1 shuts down');
await first.shutdown({ timeout });
await running;
console.log(`consumer 1 has left, unfinished: ${queue.unfinished}`);
await pause(1500);

const second = newConsumer();
await queue.close();
await second.run(handlerOf('consumer 2'));
console.log(`unfinished: ${queue.unfinished}`);

function newConsumer(): AsyncLoopConsumer<Events> {
  return new AsyncLoopConsumer(queue, { prefetch, concurrency: 2 });
}

function handlerOf(name: string) {
  return async ({ job }: { readonly job: number }, { attempt }: { readonly attempt: number }): Promise<void> => {
    await pause(2000);
    console.log(`${name}: job ${job}, attempt ${attempt}`);
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
