import { fullOutbox } from '../support/full-outbox.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A queue with as many unconfirmed messages as it may have', () => {
  retryOnce();
  fullOutbox(new RedisSuite());
});
