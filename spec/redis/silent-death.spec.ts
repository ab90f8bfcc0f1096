import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithRedis('A server that vanishes without a word', () => {
  retryOnce();
  silentDeath(new RedisSuite());
});
