import { rabbitMqConsume } from './scenarios/consume.mjs';
import { rabbitMqPublish64 } from './scenarios/publish.mjs';

export const contenders = {
  'rabbitmq-client': { name: 'rabbitmq-client', role: 'limit', version: 'rabbitmq-client' },
  'rabbitmq-client-exchange': { name: 'rabbitmq-client, as sluice', role: 'limit' },
};

export const scenarios = {
  'rabbitmq-publish-64': rabbitMqPublish64,
  'rabbitmq-consume': rabbitMqConsume,
};
