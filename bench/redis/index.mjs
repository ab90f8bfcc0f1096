import { redisBacklog } from './scenarios/backlog.mjs';
import { redisConsume, redisConsume4 } from './scenarios/consume.mjs';
import { redisIdle } from './scenarios/idle.mjs';
import { redisPublish1, redisPublish64 } from './scenarios/publish.mjs';

export const contenders = {
  'node-redis': { name: 'node-redis', role: 'limit', version: 'redis' },
  'node-redis-script': { name: 'node-redis, XADD in a script', role: 'limit' },
  'node-redis-once': { name: 'node-redis, as sluice', role: 'limit' },
  'node-redis-each': { name: 'node-redis, an XACK each', role: 'limit' },
  bullmq: { name: 'BullMQ', role: 'peer', version: 'bullmq' },
  'bee-queue': { name: 'bee-queue', role: 'peer', version: 'bee-queue' },
};

export const scenarios = {
  'redis-publish-1': redisPublish1,
  'redis-publish-64': redisPublish64,
  'redis-consume': redisConsume,
  'redis-consume-4': redisConsume4,
  'redis-backlog': redisBacklog,
  'redis-idle': redisIdle,
};
