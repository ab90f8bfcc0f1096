import { fullOutbox } from '../support/full-outbox.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('RedisBackend with the maximum of unconfirmed messages', () => {
  retryOnce();
  fullOutbox(new RedisSuite());
});
