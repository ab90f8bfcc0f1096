import { handle, MemoryBackend } from 'sluice';

interface Events {
  reading: { readonly reading: number };
}

const capacity = 4; // 1 to 12
const prefetch = 2; // 1 to 8

const queue = new MemoryBackend<Events>({ name: 'readings', capacity });

const consuming = queue
  .deliveries({ prefetch })
  .pipe(handle(() => pause(1500), { concurrency: prefetch }))
  .forEach(() => {});

// Three publishers, faster than the consumer. Each one waits while the queue is full.
const waits = await Promise.all([1, 7, 13].map((first) => publishFrom(first)));
console.log(`the publishers waited for ${waits.reduce((sum, wait) => sum + wait, 0) / 1000} s`);
await queue.close();
await consuming;
console.log('all readings are handled');

async function publishFrom(first: number): Promise<number> {
  let waited = 0;
  for (let reading = first; reading < first + 6; reading++) {
    const start = Date.now();
    await queue.publish('reading', { reading });
    const wait = Date.now() - start;
    if (wait > 0) console.log(`reading ${reading} waited for room: ${wait} ms`);
    waited += wait;
    await pause(400);
  }
  return waited;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
