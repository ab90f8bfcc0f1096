import { KEY, QUEUE } from '../../contenders/names.mjs';
import { onceEach } from '../../lib/tally.mjs';
import { common, countAcks, payload } from '../../scenarios/servers/common.mjs';

const SHALLOW = 1000;
/** A million if 20,000 messages are measured. */
const DEEP_PER_MESSAGE = 50;

const FILL_AT_ONCE = 10_000;
const FILL = `
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('XADD', KEYS[1], '*', 'key', ARGV[3], 'payload', '{"n":' .. string.format('%d', n) .. ARGV[4])
end`;

/**
 * Adds the messages 0, 1, 2, … as a publisher would, but by a script, which takes a few seconds for
 * a million.
 */
async function fill(url, messages) {
  const { createClient } = await import('redis');
  const client = await createClient({ url }).connect();
  const rest = JSON.stringify(payload(0)).replace('{"n":0', '');
  for (let n = 0; n < messages; n += FILL_AT_ONCE) {
    const last = Math.min(n + FILL_AT_ONCE, messages) - 1;
    await client.eval(FILL, { keys: [QUEUE], arguments: [String(n), String(last), KEY, rest] });
  }
  client.destroy();
}

/**
 * Returns the throughput, in thousands of messages per second, of consuming and acknowledging
 * messages in front of a backlog of `depth`.
 */
async function rateAt(depth, contender, { messages, url, empty }) {
  await empty(url);
  const consumer = await contender.consumer(url);
  await fill(url, messages + depth);
  const tally = onceEach(messages);
  const take = (n) => {
    if (n < messages) tally.take(n);
  };
  const { acked, all } = countAcks(messages);
  const startedAt = performance.now();
  consumer.start(take, acked);
  const seconds = await tally.secondsUntil(all, startedAt);
  await consumer.close();
  return messages / seconds / 1e3;
}

export const redisBacklog = {
  ...common,
  title: 'Redis: a backlog of 1M against one of 1k',
  text: 'Consume and ack as above while others wait: the throughput with a backlog of 1M, divided by the throughput with 1k.',
  unit: '×',
  warmUps: 0,
  contenders: ['sluice', 'node-redis'],
  goals: [{ atLeast: 0.8 }],

  async run(contender, { messages, url, empty }) {
    const startedAt = performance.now();
    // The first run is for the compiler.
    await rateAt(SHALLOW, contender, { messages, url, empty });
    const before = await rateAt(SHALLOW, contender, { messages, url, empty });
    const deep = await rateAt(messages * DEEP_PER_MESSAGE, contender, { messages, url, empty });
    // The speed of the disk varies.
    const after = await rateAt(SHALLOW, contender, { messages, url, empty });
    return {
      value: (2 * deep) / (before + after),
      seconds: (performance.now() - startedAt) / 1000,
      details: { before, deep, after },
    };
  },
};
