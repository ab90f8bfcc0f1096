import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithRedis('A server that vanishes without a word', () => {
  silentDeath(new RedisSuite());
});
