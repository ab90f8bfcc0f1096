import { inOrder, inOrderPerPublisher, onceEach } from '../lib/tally.mjs';

const KEYS = Array.from({ length: 1000 }, (_, n) => `key-${n}`);

/** With this number, a run of the slowest peer takes a second. */
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
    text: 'The handler only counts. Measured from the first push until the last handler ends. Sluice also settles, counts attempts and reports outcomes.',
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
  text: "The same handler with `orderBy: 'key'` and 1,000 keys, compared with sluice without it. No handler fails, so both start in order. The order of each key is checked.",
  unit: 'M/s',
  table: 'handlers',
  messages: MESSAGES,
  contenders: ['sluice', 'sluice-unordered'],
  goals: [{ atLeast: 0.8, of: 'sluice-unordered' }],
  run(contender, { messages }) {
    // Check each key like a publisher: its messages arrive in order.
    return run(contender, inOrderPerPublisher(messages, KEYS.length), {
      messages,
      concurrency: 8,
      orderBy: 'key',
      keys: KEYS,
    });
  },
};
