import { Crew } from '../../lib/crew.mjs';
import { onceEach } from '../../lib/tally.mjs';
import { expectUnfinished } from '../../scenarios/servers/common.mjs';
import { consumeAll, consuming, fill } from '../../scenarios/servers/consume.mjs';

const PROCESSES = 4;

const consumed = {
  contenders: ['sluice', 'node-redis', 'node-redis-each', 'bullmq', 'bee-queue'],
  goals: [
    { atLeast: 0.8, of: 'limit' },
    { atLeast: 3, of: 'bullmq' },
  ],
};

export const redisConsume = consumeAll({
  ...consumed,
  title: 'Redis: consume and ack, prefetch 64',
  text: 'All messages wait. Measured from the first read until the last acknowledgement is confirmed. The limit is an XREADGROUP of 64 and one XACK for its messages. It leaves the messages in the stream.',
});

/** The crew is kept between runs, so that the warm-ups also warm up its processes. */
let crew;

export const redisConsume4 = {
  ...consuming,
  ...consumed,
  title: 'Redis: the same in four processes',
  text: 'Each process has a consumer with a prefetch of 64. They start together and share the messages.',

  async run(contender, { messages, url, empty, contenderId }) {
    const publisher = await fill(contender, { messages, url, empty });
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
