import { RedisBackend } from 'sluice/redis';
import type { Broker } from '../../integration/broker.js';
import { RedisServer } from '../../support/servers/redis-server.js';

export const broker: Broker<RedisServer> = {
  title: 'Redis',
  backend: 'redis',
  storesOnce: true,
  settlesLate: false,
  countsReleases: false,
  start: () => RedisServer.start({ appendOnly: true }),
  open: (options) => new RedisBackend(options),
};
