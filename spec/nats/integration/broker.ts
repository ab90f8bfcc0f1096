import { NatsBackend } from 'sluice/nats';
import type { Broker } from '../../integration/broker.js';
import { NatsServer } from '../../support/servers/nats-server.js';

export const broker: Broker<NatsServer> = {
  title: 'NATS',
  backend: 'nats',
  storesOnce: true,
  settlesLate: true,
  countsReleases: true,
  start: () => NatsServer.start(),
  startLocked: () => NatsServer.start({ user: 'app', password: 'right' }),
  open: (options) => new NatsBackend(options),
};
