import { onceEach } from '../../lib/tally.mjs';
import { common, countAcks, publishAll } from '../../scenarios/servers/common.mjs';

const SHALLOW = 1000;
/** A million if 20,000 messages are measured. */
const DEEP_PER_MESSAGE = 50;

/** Several thousand messages in one turn fill the server fast. */
const PUBLISHERS = 4096;

/**
 * Returns the throughput, in thousands of messages per second, of consuming and acknowledging
 * messages in front of a backlog of `depth`.
 */
async function rateAt(depth, contender, { messages, url, empty }) {
  await empty(url);
  const publisher = await contender.publisher(url);
  await publishAll(publisher, messages + depth, PUBLISHERS);
  await publisher.close();
  await calm(url);
  const consumer = await contender.consumer(url);
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

/** Does at once what the server would otherwise do within a few minutes. */
async function calm(url) {
  const { use } = await import('../server.mjs');
  await use(url, async (client) => {
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  });
}

export const postgresBacklog = {
  ...common,
  title: 'PostgreSQL: a backlog of 1M against one of 1k',
  text: 'Consume and ack as above while others wait: the throughput with a backlog of 1M, divided by the throughput with 1k.',
  unit: '×',
  rounds: 3,
  warmUps: 0,
  timeout: 300,
  contenders: ['sluice', 'raw'],
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
