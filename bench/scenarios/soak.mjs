import { setImmediate as macrotask } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { heapUsed } from '../lib/heap.mjs';
import { inOrderPerPublisher } from '../lib/tally.mjs';

const PUBLISHERS = 8;
const CONSUMERS = 8;
const CAPACITY = 64;
/** The number of garbage collections during a run. */
const COLLECTIONS = 10;
/** The number of samples without one. With each, the consumers pause and the queue fills. */
const SAMPLES = 10_000;
/** A run fails if the heap has grown by more megabytes. Code and feedback of V8 take some. */
const MOST_GROWTH = 4;

const megabytes = (bytes) => bytes / 2 ** 20;
const sample = () => megabytes(getHeapStatistics().used_heap_size);

/** Samples the heap while messages are counted. */
function watchHeap(messages) {
  const everySample = Math.max(1, Math.floor(messages / SAMPLES));
  const everyCollection = Math.max(1, Math.floor(messages / COLLECTIONS));
  const watch = { highest: 0, collected: [], pause: undefined };
  let count = 0;
  watch.counted = () => {
    count++;
    if (count % everyCollection === 0) {
      globalThis.gc();
      watch.collected.push(sample());
    }
    if (count % everySample === 0) {
      watch.highest = Math.max(watch.highest, sample());
      watch.pause = macrotask().then(() => {
        watch.pause = undefined;
      });
    }
  };
  return watch;
}

async function consume(values, take, watch) {
  for await (const { n } of values) {
    take(n);
    watch.counted();
    if (watch.pause !== undefined) await watch.pause;
  }
}

export const soak = {
  title: 'Growth of the heap in a long run',
  text: `How much more of the heap is used after the messages than before, in megabytes: the most of ${COLLECTIONS} samples during the run and one at its end, each after a garbage collection. ${PUBLISHERS} publishers, ${CONSUMERS} consumers and a capacity of ${CAPACITY}. The highest of ${SAMPLES.toLocaleString('en')} samples includes garbage: the consumers pause at each, so that the queue fills. The order of each publisher is checked.`,
  unit: 'MB',
  section: 'soak',
  messages: 100_000_000,
  rounds: 1,
  timeout: 600,
  contenders: ['sluice'],
  goals: [{ atMost: 1 }],
  details: { start: 'before, MB', end: 'after, MB', highest: 'highest, MB', throughput: 'M/s' },

  async run(contender, { messages }) {
    const queue = await contender.open({ capacity: CAPACITY });
    const tally = inOrderPerPublisher(messages, PUBLISHERS);
    const watch = watchHeap(messages);
    const start = megabytes(await heapUsed());
    const startedAt = performance.now();
    const running = [];
    for (let consumer = 0; consumer < CONSUMERS; consumer++) running.push(consume(queue.values, tally.take, watch));
    for (let publisher = 0; publisher < PUBLISHERS; publisher++)
      running.push(queue.publish(publisher, PUBLISHERS, messages));
    const seconds = await tally.seconds(startedAt, running);
    const end = megabytes(await heapUsed());
    const growth = Math.max(end, ...watch.collected) - start;
    if (growth > MOST_GROWTH) throw new Error(`The heap grew by ${growth.toFixed(1)} MB`);
    const { highest, collected } = watch;
    return {
      value: growth,
      seconds,
      details: { start, end, highest, collected, throughput: messages / seconds / 1e6 },
    };
  },
};
