import { RedisBackend } from 'sluice/redis';
import { RedisServer } from '../../support/servers/redis-server.js';
import type { Broker } from '../broker.js';

export const redis: Broker<RedisServer> = {
  title: 'Redis',
  backend: 'redis',
  storesOnce: true,
  settlesLate: false,
  start: () => RedisServer.start({ appendOnly: true }),
  open: (options) => new RedisBackend(options),
};
