import { inOrder, inOrderPerPublisher, onceEach } from '../lib/tally.mjs';

const KEYS = Array.from({ length: 1000 }, (_, n) => `key-${n}`);

/** A run with the slowest peer then takes a second. */
const MESSAGES = 200_000;

async function run(contender, tally, options) {
  const handler = async ({ n }) => {
    tally.take(n);
  };
  const startedAt = performance.now();
  return { seconds: await tally.secondsUntil(contender.handleAll(handler, options), startedAt) };
}

function handleWith(concurrency) {
  return {
    title: `Async handler, ${concurrency === 1 ? 'one' : concurrency} at a time`,
    text: 'It only counts. From the first push until the last handler has ended; sluice also settles, counts attempts and tells the outcome.',
    unit: 'M/s',
    table: 'handlers',
    messages: MESSAGES,
    contenders: ['sluice', 'pool', 'fastq-promise', 'fastq', 'p-queue', 'async', 'rxjs-merge-map', 'effect-for-each'],
    goals: [
      { atLeast: 1, of: 'best peer' },
      { atLeast: 2, of: 'fastq-promise' },
    ],
    run(contender, { messages }) {
      const tally = concurrency === 1 ? inOrder(messages) : onceEach(messages);
      return run(contender, tally, { messages, concurrency });
    },
  };
}

export const handle1 = handleWith(1);
export const handle8 = handleWith(8);
export const handle64 = handleWith(64);

export const ordered = {
  title: 'In order by key, 8 at a time',
  text: "The same handler with `orderBy: 'key'` and 1,000 keys, against sluice without it. No handler fails, so both begin in order, and it is checked for each key.",
  unit: 'M/s',
  table: 'handlers',
  messages: MESSAGES,
  contenders: ['sluice', 'sluice-unordered'],
  goals: [{ atLeast: 0.7, of: 'sluice-unordered' }],
  run(contender, { messages }) {
    // A key is to its messages what a publisher is: theirs come in order.
    return run(contender, inOrderPerPublisher(messages, KEYS.length), {
      messages,
      concurrency: 8,
      orderBy: 'key',
      keys: KEYS,
    });
  },
};
