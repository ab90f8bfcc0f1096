import { fullOutbox } from '../support/full-outbox.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A queue with as many unconfirmed messages as it may have', () => {
  fullOutbox(new RedisSuite());
});
