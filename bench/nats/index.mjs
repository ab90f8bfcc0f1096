import { natsConsume } from './scenarios/consume.mjs';
import { natsIdle } from './scenarios/idle.mjs';
import { natsPublish64 } from './scenarios/publish.mjs';

export const contenders = {
  jetstream: { name: '@nats-io/jetstream', role: 'limit', version: '@nats-io/jetstream' },
  'jetstream-interest': { name: '@nats-io/jetstream, interest', role: 'limit' },
  'jetstream-ack': { name: '@nats-io/jetstream, ack', role: 'limit' },
};

export const scenarios = {
  'nats-publish-64': natsPublish64,
  'nats-consume': natsConsume,
  'nats-idle': natsIdle,
};
