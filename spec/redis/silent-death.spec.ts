import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithRedis('RedisBackend when its server vanishes silently', () => {
  retryOnce();
  silentDeath(new RedisSuite());
});
