import { consumeAll, consumeInCrew } from '../../scenarios/servers/consume.mjs';

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

export const redisConsume4 = consumeInCrew('redis', {
  ...consumed,
  title: 'Redis: the same in four processes',
  text: 'Each process has a consumer with a prefetch of 64. They start together and share the messages.',
});
