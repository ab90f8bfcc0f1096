import { setImmediate as macrotask } from 'node:timers/promises';
import { Subject } from 'rxjs';
import { consumeBatches, consumeValues } from '../lib/loops.mjs';
import { inOrder } from '../lib/tally.mjs';

/**
 * The number of values per macrotask, as a socket emits them. Values that the consumer has not
 * processed by the next macrotask accumulate.
 */
const BATCH = 1000;

async function run({ messages }, consume) {
  const source = new Subject();
  const tally = inOrder(messages);
  const startedAt = performance.now();
  const consumer = await consume(source, tally.take);
  return { seconds: await tally.seconds(startedAt, [consumer.done, push(source, messages)]) };
}

async function push(source, messages) {
  for (let n = 0; n < messages; ) {
    const end = Math.min(n + BATCH, messages);
    while (n < end) source.next({ n: n++ });
    await macrotask();
  }
}

export const bridge = {
  title: 'Observable to for await, value by value',
  text: 'A Subject emits 1,000 values synchronously, then waits for a macrotask.',
  unit: 'M/s',
  contenders: [
    'sluice',
    'limit',
    'rxjs-for-await',
    'ix',
    'it-pushable',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
  ],
  goals: [{ atLeast: 1.5, of: 'best peer' }],

  run: (contender, options) =>
    run(options, async (source, take) => {
      const values = await contender.bridge(source);
      return { done: (contender.consumeBridge ?? consumeValues)(values, take) };
    }),
};

export const batches = {
  title: 'Observable to for await, in batches',
  text: 'The same source, but the consumer receives arrays.',
  unit: 'M/s',
  contenders: ['sluice', 'limit', 'rxjs-for-await', 'effect-take-all'],
  goals: [{ atLeast: 1, of: 'rxjs-for-await' }],

  run: (contender, options) =>
    run(options, async (source, take) => {
      const values = await contender.bridgeBatches(source);
      return { done: (contender.consumeBridgeBatches ?? consumeBatches)(values, take) };
    }),
};
