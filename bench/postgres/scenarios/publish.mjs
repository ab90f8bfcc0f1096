import { publishWith } from '../../scenarios/servers/publish.mjs';

const goals = [{ atLeast: 0.8, of: 'limit' }];

export const postgresPublish1 = publishWith(1, {
  title: 'PostgreSQL: publish, one at a time',
  text: 'Measured from the first publish until the last confirm. A confirmed message is on the disk. The limit is an INSERT per message.',
  warmUpMessages: 1000,
  rounds: 3,
  // A disk may take five milliseconds per publish.
  timeout: 180,
  contenders: ['sluice', 'raw'],
  goals,
});

export const postgresPublish64 = publishWith(64, {
  title: 'PostgreSQL: publish, 64 at a time',
  text: 'The same with 64 publishers, each of which awaits each publish. The limit is an INSERT for the messages of one turn.',
  warmUpMessages: 20_000,
  timeout: 180,
  contenders: ['sluice', 'raw', 'bullmq', 'bullmq-bulk', 'graphile'],
  goals: [...goals, { atLeast: 3, of: 'bullmq' }],
});
