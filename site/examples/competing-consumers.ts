import { MemoryBackend } from 'sluice';

interface Events {
  resize: { readonly image: number };
}

const consumers = 3; // 1 to 4
const prefetch = 1; // 1 to 4

const queue = new MemoryBackend<Events>({ name: 'images' });
for (let image = 1; image <= 12; image++) await queue.publish('resize', { image });
await queue.close(); // The loops end when nothing is left.

const work = Array.from({ length: consumers }, (_, index) => resizeImages(`worker ${index + 1}`));
const counts = await Promise.all(work);
console.log(counts.join(', '));

async function resizeImages(name: string): Promise<string> {
  let count = 0;
  // Asking for the next delivery acknowledges this one.
  for await (const { payload } of queue.deliveries({ prefetch })) {
    await pause(payload.image % 4 === 1 ? 3000 : 1000);
    console.log(`${name}: image ${payload.image}`);
    count++;
  }
  return `${name} resized ${count}`;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
