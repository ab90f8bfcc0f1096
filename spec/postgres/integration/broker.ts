import { PostgresBackend } from 'sluice/postgres';
import type { Broker } from '../../integration/broker.js';
import { PostgresServer } from '../../support/servers/postgres-server.js';

export const broker: Broker<PostgresServer> = {
  title: 'PostgreSQL',
  backend: 'postgres',
  storesOnce: true,
  settlesLate: false,
  countsReleases: false,
  start: () => PostgresServer.start({ durable: true }),
  startLocked: () => PostgresServer.start({ password: 'hush' }),
  open: (options) => new PostgresBackend(options),
};
