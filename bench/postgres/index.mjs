import { postgresBacklog } from './scenarios/backlog.mjs';
import { postgresConsume, postgresConsume4 } from './scenarios/consume.mjs';
import { postgresIdle } from './scenarios/idle.mjs';
import { postgresLatency } from './scenarios/latency.mjs';
import { postgresPublish1, postgresPublish64 } from './scenarios/publish.mjs';
import { postgresSoak } from './scenarios/soak.mjs';

export const contenders = {
  raw: { name: 'pg', role: 'limit', version: 'pg' },
  'raw-one': { name: 'pg, one statement', role: 'limit' },
  bullmq: { name: 'BullMQ', role: 'peer', version: 'bullmq' },
  'bullmq-bulk': { name: 'BullMQ, addBulk', role: 'batches' },
  graphile: { name: 'graphile-worker', role: 'peer', version: 'graphile-worker' },
};

export const scenarios = {
  'postgres-publish-1': postgresPublish1,
  'postgres-publish-64': postgresPublish64,
  'postgres-consume': postgresConsume,
  'postgres-consume-4': postgresConsume4,
  'postgres-backlog': postgresBacklog,
  'postgres-idle': postgresIdle,
  'postgres-latency': postgresLatency,
  'postgres-soak': postgresSoak,
};
