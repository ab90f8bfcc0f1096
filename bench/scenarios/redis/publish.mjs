import { emptyRedis } from '../../lib/redis-server.mjs';
import { common, expectUnfinished, publishAll } from './common.mjs';

function publishWith(publishers, scenario) {
  return {
    ...common,
    unit: 'k/s',
    warmUps: 2,
    goals: [{ atLeast: 0.85, of: 'limit' }],
    ...scenario,

    async run(contender, { messages, url }) {
      await emptyRedis(url);
      const publisher = await contender.publisher(url);
      const startedAt = performance.now();
      await publishAll(publisher, messages, publishers);
      const seconds = (performance.now() - startedAt) / 1000;
      await expectUnfinished(publisher, messages);
      await publisher.close();
      return { seconds };
    },
  };
}

export const redisPublish1 = publishWith(1, {
  title: 'Redis: publish, one at a time',
  text: 'From the first publish until the last is confirmed, which is when it is on the disk. The limit is an XADD each.',
  warmUpMessages: 1000,
  rounds: 3,
  // A disk may take five milliseconds for each.
  timeout: 180,
  contenders: ['sluice', 'node-redis'],
});

export const redisPublish64 = publishWith(64, {
  title: 'Redis: publish, 64 at a time',
  text: 'The same by 64 publishers, each of which awaits each publish.',
  warmUpMessages: 5000,
  contenders: ['sluice', 'node-redis', 'bullmq', 'bee-queue'],
});
