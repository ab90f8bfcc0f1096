/**
 * Quickstart: a week of earthquakes goes through a queue.
 *
 * One publisher sends the catalogue of the US Geological Survey as fast as the queue accepts it.
 * Four consumers compete for the messages and work on each for a millisecond. At most 64 messages
 * wait in the queue. When it is full, `publish` waits, so memory stays bounded.
 *
 *     npm run quickstart
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { interval, map } from 'rxjs';
import { MemoryBackend } from 'sluice';

/** The keys of the queue, and the payload of each. */
interface SeismicEvents {
  'earthquake.minor': Tremor;
  'earthquake.light': Tremor;
  'earthquake.strong': Tremor;
  blast: Tremor;
}

interface Tremor {
  readonly place: string;
  readonly magnitude: number;
}

/** An entry of the catalogue. */
interface Feature {
  readonly properties: { readonly mag: number; readonly place: string; readonly type: string };
}

const file = new URL('../data/earthquakes.json', import.meta.resolve('vega-datasets'));
const catalogue = JSON.parse(await readFile(file, 'utf8')) as { readonly features: readonly Feature[] };

function keyOf({ mag, type }: Feature['properties']): keyof SeismicEvents {
  if (type !== 'earthquake') return 'blast';
  if (mag >= 4.5) return 'earthquake.strong';
  return mag >= 2.5 ? 'earthquake.light' : 'earthquake.minor';
}

const queue = new MemoryBackend<SeismicEvents>({ name: 'tremors', capacity: 64 });

async function publishAll(): Promise<void> {
  for (const { properties } of catalogue.features) {
    // Waits while the queue is full: this is the backpressure.
    await queue.publish(keyOf(properties), { place: properties.place, magnitude: properties.mag });
  }
  await queue.close(); // Consumers still receive the waiting messages. Then their loops end.
}

const counts = new Map<string, number>();
let strongest: Tremor = { place: 'nowhere', magnitude: Number.NEGATIVE_INFINITY };

async function consume(): Promise<number> {
  let done = 0;
  // The loop acknowledges a delivery on the next iteration. If the body throws, the loop requeues
  // the delivery.
  for await (const { key, payload } of queue.deliveries()) {
    await pause(1); // Stands for the work of a real service.
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (payload.magnitude > strongest.magnitude) strongest = payload;
    done++;
  }
  return done;
}

// The queue is reactive, too: `published$` and `unfinished$` are Observables.
let published = 0;
let highest = 0;
queue.published$.subscribe({
  next: () => {
    published++;
    highest = Math.max(highest, queue.size);
  },
});

const progress = interval(50)
  .pipe(map(() => `${published} published, ${queue.size} waiting, ${queue.inFlight} in flight`))
  .subscribe((text) => process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${text}` : `${text}\n`));

const start = performance.now();
const [, ...shares] = await Promise.all([publishAll(), consume(), consume(), consume(), consume()]);
const seconds = (performance.now() - start) / 1000;
progress.unsubscribe();
if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');

console.table(Object.fromEntries([...counts].sort().map(([key, messages]) => [key, { messages }])));
console.log(`${published} messages in ${seconds.toFixed(2)} s: ${Math.round(published / seconds)} per second`);
console.log(`by consumer: ${shares.join(', ')}`);
console.log(`highest number waiting: ${highest}, of a capacity of 64`);
console.log(`unfinished: ${queue.unfinished}`);
console.log(`strongest: magnitude ${strongest.magnitude}, ${strongest.place}`);
