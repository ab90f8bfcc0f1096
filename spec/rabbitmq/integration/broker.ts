import { RabbitMqBackend } from 'sluice/rabbitmq';
import type { Broker } from '../../integration/broker.js';
import { RabbitMqServer } from '../../support/servers/rabbitmq-server.js';

export const broker: Broker<RabbitMqServer> = {
  title: 'RabbitMQ',
  backend: 'rabbitmq',
  storesOnce: false,
  settlesLate: false,
  countsReleases: true,
  start: () => RabbitMqServer.start(),
  beforeKill: (server) => server.saveQueues(),
  open: (options) => new RabbitMqBackend(options),
};
