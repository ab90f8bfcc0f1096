import { ConfigurationError } from 'sluice';
import { NatsBackend } from 'sluice/nats';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { thrownBy } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const NATS_URL = 'nats://127.0.0.1:1';

describe('NatsBackend.fromEnv', () => {
  it.each([
    ['NATS_URL', undefined],
    ['NATS_URL', ''],
    ['NATS_URL', 'localhost:4222'],
    ['NATS_URL', 'http://localhost'],
    ['NATS_URL', 'nats://us%er@localhost'],
    ['NATS_URL', 'nats://localhost,'],
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
    const error = thrownBy(() => NatsBackend.fromEnv({ NATS_URL, [variable]: value }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect((error as Error).message).toContain(variable);
    expect((error as Error).message).toContain('Expected');
  });

  it('says what is expected', () => {
    const messageOf = (env: Record<string, string>) => (thrownBy(() => NatsBackend.fromEnv(env)) as Error).message;
    expect(messageOf({})).toContain('nats://user:password@host:4222');
    expect(messageOf({ NATS_URL, QUEUE_LEASE: '5' })).toMatch(/whole number of milliseconds, .*100/);
    expect(messageOf({ NATS_URL, QUEUE_PUBLISH_TIMEOUT: 'x' })).toMatch(/whole number of milliseconds, .*1/);
    expect(messageOf({ NATS_URL, QUEUE_GROUPS: 'a,,b' })).toContain('separated by commas');
  });

  it.each([
    'http://user:s3cret@host',
    's3cret',
    'nats://u:s3cret@host/path',
    'nats://u:s3cret%@host',
    'nats://a:s3cret@host,http://host',
    'nats://:s3cret@host',
  ])('never shows the URL (%s)', (url) => {
    const error = thrownBy(() => NatsBackend.fromEnv({ NATS_URL: url })) as Error;
    expect([error.message, error.stack, String(error.cause)].join()).not.toContain('s3cret');
  });

  it('takes empty variables for ones that are not set', async () => {
    const queue = NatsBackend.fromEnv({ NATS_URL, QUEUE_NAME: '', QUEUE_GROUPS: '', QUEUE_LEASE: '', QUEUE_PUBLISH_TIMEOUT: '' });
    expect(queue.name).toBe('default');
    await queue.close();
  });

  it('reads the environment of the process', async () => {
    const { env } = process;
    process.env = { ...env, NATS_URL, QUEUE_NAME: 'of-the-process' };
    try {
      const queue = NatsBackend.fromEnv();
      expect(queue.name).toBe('of-the-process');
      await queue.close();
    } finally {
      process.env = env;
    }
  });

  it('refuses a logger that is none', () => {
    expect(() => NatsBackend.fromEnv({ NATS_URL }, { logger: {} as never })).toThrow(TypeError);
    expect(() => NatsBackend.fromEnv({ NATS_URL }, null as never)).toThrow(TypeError);
  });
});

describeWithNats('NatsBackend.fromEnv', () => {
  const suite = new NatsSuite();

  it('heeds every variable', async () => {
    const groups = ' billing , audit,billing';
    const env = { NATS_URL: suite.url, QUEUE_NAME: suite.name, QUEUE_GROUPS: groups, QUEUE_LEASE: '700', QUEUE_PUBLISH_TIMEOUT: '100000' };
    const queue = NatsBackend.fromEnv<{ paid: { n: number } }>(env, { logger: silentLogger });
    suite.ending(() => queue.close());
    await queue.publish('paid', { n: 1 });
    const holder = new Holder(queue, { group: 'audit' });
    await eventually(() => holder.deliveries.length === 1);
    const manager = await suite.manager();
    const infos = await manager.consumers.list(suite.names.stream).next();
    expect(infos.map(({ name }) => name).toSorted()).toEqual(['audit', 'billing']);
    expect((await suite.group('audit')).config.ack_wait).toBe(700_000_000);
    const { config } = await manager.streams.info(suite.names.stream);
    expect(config.duplicate_window / 1e6).toBeGreaterThanOrEqual(100_000);
  });
});
