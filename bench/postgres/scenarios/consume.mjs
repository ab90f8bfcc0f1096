import { consumeAll, consumeInCrew } from '../../scenarios/servers/consume.mjs';

const consumed = {
  // So many that the code of each of four processes is compiled.
  warmUpMessages: 20_000,
  timeout: 180,
  contenders: ['sluice', 'raw', 'raw-one', 'bullmq', 'graphile'],
  goals: [
    { atLeast: 0.8, of: 'limit' },
    { atLeast: 3, of: 'bullmq' },
  ],
};

export const postgresConsume = consumeAll({
  ...consumed,
  title: 'PostgreSQL: consume and ack, prefetch 64',
  text: 'All messages wait. Measured from the first query until the last acknowledgement is confirmed. The limit claims 64 messages with one UPDATE while one DELETE removes the last 64.',
});

export const postgresConsume4 = consumeInCrew('postgres', {
  ...consumed,
  title: 'PostgreSQL: the same in four processes',
  text: 'Each process has a consumer with a prefetch of 64. They start together and share the messages.',
});
