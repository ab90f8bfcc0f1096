import { givesUp } from '../../integration/given-up-stats.js';
import { RedisSuite } from '../../support/redis-suite.js';
import { retryOnce } from '../../support/retry-once.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';

describeWithRedis('RedisBackend without a server', () => {
  retryOnce();
  const suite = new RedisSuite();
  givesUp(suite, async () => (await suite.calls('evalsha')) + (await suite.calls('eval')));
});
