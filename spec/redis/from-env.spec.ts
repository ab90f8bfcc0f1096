import { ConfigurationError } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { thrownBy } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const REDIS_URL = 'redis://127.0.0.1:1';

describe('RedisBackend.fromEnv', () => {
  it.each([
    ['REDIS_URL', undefined],
    ['REDIS_URL', ''],
    ['REDIS_URL', 'localhost:6379'],
    ['REDIS_URL', 'http://localhost'],
    ['REDIS_URL', 'redis://:100%@localhost'],
    ['REDIS_URL', 'unix:/run/redis.sock'],
    ['QUEUE_NAME', 'x'.repeat(256)],
    ['QUEUE_GROUPS', 'billing,,audit'],
    ['QUEUE_GROUPS', 'billing,'],
    ['QUEUE_GROUPS', ' '],
    ['QUEUE_GROUPS', 'x'.repeat(256)],
    ['QUEUE_LEASE', '30s'],
    ['QUEUE_LEASE', '99'],
    ['QUEUE_LEASE', '-1000'],
    ['QUEUE_LEASE', '1e5'],
    ['QUEUE_LEASE', '1000.5'],
    ['QUEUE_LEASE', ' 1000'],
    ['QUEUE_LEASE', '99999999999999999999'],
    ['QUEUE_LEASE', String(2 ** 31)],
    ['QUEUE_PUBLISH_TIMEOUT', '0'],
    ['QUEUE_PUBLISH_TIMEOUT', String(2 ** 31)],
    ['QUEUE_PUBLISH_TIMEOUT', 'never'],
    ['QUEUE_PUBLISH_TIMEOUT', '0x10'],
  ])('refuses %s=%s, and names it', (variable, value) => {
    const error = thrownBy(() => RedisBackend.fromEnv({ REDIS_URL, [variable]: value }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect((error as Error).message).toContain(variable);
    expect((error as Error).message).toContain('Expected');
  });

  it('says what is expected', () => {
    const messageOf = (env: Record<string, string>) => (thrownBy(() => RedisBackend.fromEnv(env)) as Error).message;
    expect(messageOf({})).toContain('redis://user:password@host:6379/0');
    expect(messageOf({ REDIS_URL, QUEUE_LEASE: '5' })).toMatch(/whole number of milliseconds, .*100/);
    expect(messageOf({ REDIS_URL, QUEUE_PUBLISH_TIMEOUT: 'x' })).toMatch(/whole number of milliseconds, .*1/);
    expect(messageOf({ REDIS_URL, QUEUE_GROUPS: 'a,,b' })).toContain('separated by commas');
  });

  it.each(['http://user:s3cret@host', 's3cret', 'redis://:s3cret@host/database', 'redis://:s3cret%@host'])('never shows the URL (%s)', (url) => {
    const error = thrownBy(() => RedisBackend.fromEnv({ REDIS_URL: url })) as Error;
    expect([error.message, error.stack, String(error.cause)].join()).not.toContain('s3cret');
  });

  it('takes empty variables for ones that are not set', async () => {
    const queue = RedisBackend.fromEnv({ REDIS_URL, QUEUE_NAME: '', QUEUE_GROUPS: '', QUEUE_LEASE: '', QUEUE_PUBLISH_TIMEOUT: '' });
    expect(queue.name).toBe('default');
    await queue.close();
  });

  it('reads the environment of the process', async () => {
    const { env } = process;
    process.env = { ...env, REDIS_URL, QUEUE_NAME: 'of-the-process' };
    try {
      const queue = RedisBackend.fromEnv();
      expect(queue.name).toBe('of-the-process');
      await queue.close();
    } finally {
      process.env = env;
    }
  });

  it('refuses a logger that is none', () => {
    expect(() => RedisBackend.fromEnv({ REDIS_URL }, { logger: {} as never })).toThrow(TypeError);
    expect(() => RedisBackend.fromEnv({ REDIS_URL }, null as never)).toThrow(TypeError);
  });
});

describeWithRedis('RedisBackend.fromEnv', () => {
  const suite = new RedisSuite();

  it('heeds every variable', async () => {
    const groups = ' billing , audit,billing';
    const env = { REDIS_URL: `${suite.url}/3`, QUEUE_NAME: suite.name, QUEUE_GROUPS: groups, QUEUE_LEASE: '700', QUEUE_PUBLISH_TIMEOUT: '1234' };
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
    expect(remembered).toBeGreaterThan(60_000 - 30_000);
    expect(remembered).toBeLessThanOrEqual(61_234);
  });
});
