import { RedisBackend } from 'sluice/redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { REDIS } from '../support/provider.js';
import { providerEnvironment } from '../support/provider-environment.js';
import { silentLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

providerEnvironment(RedisBackend, REDIS);

describeWithRedis('RedisBackend.fromEnv', () => {
  const suite = new RedisSuite();

  it('reads every variable', async () => {
    const groups = ' billing , audit,billing';
    const env = {
      REDIS_URL: `${suite.url}/3`,
      QUEUE_NAME: suite.name,
      QUEUE_GROUPS: groups,
      QUEUE_LEASE: '700',
      QUEUE_PUBLISH_TIMEOUT: '91234',
    };
    const queue = RedisBackend.fromEnv<{ paid: { n: number } }>(env, { logger: silentLogger });
    suite.ending(() => queue.close());
    await queue.publish('paid', { n: 1 });
    const holder = new Holder(queue, { group: 'audit' });
    await eventually(() => holder.deliveries.length === 1);
    await suite.run('SELECT', '3');
    suite.ending(() => suite.run('SELECT', '0'));
    const infos = (await suite.run('XINFO', 'GROUPS', suite.name)) as [string, string][];
    expect(infos.map(([, group]) => group).toSorted()).toEqual(['audit', 'billing']);
    const [[, consumer]] = (await suite.pending('audit')) as [[string, string, number]];
    expect(consumer).toMatch(/~700$/);
    const [published] = (await suite.run('KEYS', `${suite.name}:*:published:*`)) as [string];
    const remembered = (await suite.run('PTTL', published)) as number;
    expect(remembered).toBeGreaterThan(91_234);
    expect(remembered).toBeLessThanOrEqual(60_000 + 91_234);
  });
});
