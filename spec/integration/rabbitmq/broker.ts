import { RabbitMqBackend } from 'sluice/rabbitmq';
import { RabbitMqServer } from '../../support/servers/rabbitmq-server.js';
import type { Broker } from '../broker.js';

export const rabbitMq: Broker<RabbitMqServer> = {
  title: 'RabbitMQ',
  backend: 'rabbitmq',
  storesOnce: false,
  settlesLate: false,
  start: () => RabbitMqServer.start(),
  beforeKill: (server) => server.saveQueues(),
  open: (options) => new RabbitMqBackend(options),
};
