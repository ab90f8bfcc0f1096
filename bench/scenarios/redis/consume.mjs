import { Crew } from '../../lib/crew.mjs';
import { emptyRedis } from '../../lib/redis-server.mjs';
import { onceEach } from '../../lib/tally.mjs';
import { common, countAcks, expectUnfinished, publishAll } from './common.mjs';

const PUBLISHERS = 512;
const PROCESSES = 4;

const consuming = {
  ...common,
  unit: 'k/s',
  warmUps: 2,
  warmUpMessages: 5000,
  contenders: ['sluice', 'node-redis', 'node-redis-each', 'bullmq', 'bee-queue'],
  goals: [
    { atLeast: 0.8, of: 'limit' },
    { atLeast: 3, of: 'bullmq' },
  ],
};

/** A queue with its messages, as the one who sent them. */
async function fill(contender, { messages, url }) {
  await emptyRedis(url);
  const publisher = await contender.publisher(url);
  await publishAll(publisher, messages, PUBLISHERS);
  return publisher;
}

export const redisConsume = {
  ...consuming,
  title: 'Redis: consume and ack, prefetch 64',
  text: 'All messages wait; from the first fetch until the last acknowledgement is confirmed. The limit is an XREADGROUP of 64 and one XACK for what it brought, and leaves the messages in the stream.',

  async run(contender, { messages, url }) {
    const publisher = await fill(contender, { messages, url });
    const consumer = await contender.consumer(url);
    const tally = onceEach(messages);
    const { acked, all } = countAcks(messages);
    const startedAt = performance.now();
    consumer.start(tally.take, acked);
    const seconds = await tally.secondsUntil(all, startedAt);
    await expectUnfinished(publisher, 0);
    await Promise.all([consumer.close(), publisher.close()]);
    return { seconds };
  },
};

/** Kept from run to run: the warm-ups are theirs too. */
let crew;

export const redisConsume4 = {
  ...consuming,
  title: 'Redis: the same in four processes',
  text: 'Each has a consumer with a prefetch of 64. They begin together and share the messages.',

  async run(contender, { messages, url, contenderId }) {
    const publisher = await fill(contender, { messages, url });
    crew ??= new Crew(PROCESSES, contenderId, url);
    await crew.open();
    const seconds = await crew.consume(messages);
    const tally = onceEach(messages);
    for (const n of (await crew.close()).flat()) tally.take(n);
    await expectUnfinished(publisher, 0);
    await publisher.close();
    return { seconds };
  },
};
