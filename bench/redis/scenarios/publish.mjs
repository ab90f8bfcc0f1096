import { publishWith } from '../../scenarios/servers/publish.mjs';

export const redisPublish1 = publishWith(1, {
  title: 'Redis: publish, one at a time',
  text: 'Measured from the first publish until the last confirm. A confirmed message is on the disk. The limit is an XADD per message. Two other limits send a script: one with only that XADD, and one that stores a message once like sluice.',
  warmUpMessages: 1000,
  rounds: 3,
  // A disk may take five milliseconds per publish.
  timeout: 180,
  contenders: ['sluice', 'node-redis', 'node-redis-script', 'node-redis-once'],
  goals: [
    { atLeast: 0.85, of: 'limit' },
    { atLeast: 0.95, of: 'node-redis-once' },
  ],
});

export const redisPublish64 = publishWith(64, {
  title: 'Redis: publish, 64 at a time',
  text: 'The same with 64 publishers, each of which awaits each publish.',
  contenders: ['sluice', 'node-redis', 'bullmq', 'bee-queue'],
});
