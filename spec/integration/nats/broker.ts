import { NatsBackend } from 'sluice/nats';
import { NatsServer } from '../../support/servers/nats-server.js';
import type { Broker } from '../broker.js';

export const nats: Broker<NatsServer> = {
  title: 'NATS',
  backend: 'nats',
  storesOnce: true,
  settlesLate: true,
  start: () => NatsServer.start(),
  open: (options) => new NatsBackend(options),
};
