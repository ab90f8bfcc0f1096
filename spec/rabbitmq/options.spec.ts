import { ConfigurationError } from 'sluice';
import { RabbitMqBackend, type RabbitMqBackendOptions } from 'sluice/rabbitmq';
import { thrownBy } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const URL = 'amqp://127.0.0.1:1';

/** What is wrong, whether the type or the value, and how the message names it. */
type Case = readonly [options: object, type: typeof TypeError | typeof RangeError, message: RegExp];

const construct = (options: unknown) => () => new RabbitMqBackend(options as RabbitMqBackendOptions);
const client = { acquire: async () => undefined, on: () => undefined, removeListener: () => undefined };

describe('The options of a RabbitMqBackend', () => {
  it.each<Case>([
    [{}, TypeError, /`url`.*got undefined/],
    [{ url: 5 }, TypeError, /`url`.*got 5/],
    [{ url: null }, TypeError, /`url`.*got null/],
    [{ url: '' }, TypeError, /`url`/],
    [{ url: URL, client }, TypeError, /`url`.*`client`/],
    [{ client: {} }, TypeError, /`client`.*`acquire`/],
    [{ client: { ...client, on: 5 } }, TypeError, /`client`.*`on`/],
    [{ client: null }, TypeError, /`client`/],
    [{ url: URL, name: '' }, RangeError, /`name`/],
    [{ url: URL, name: 7 }, TypeError, /`name`/],
    [{ url: URL, name: 'x'.repeat(256) }, RangeError, /`name`/],
    [{ url: URL, name: 'é'.repeat(128) }, RangeError, /`name`/],
    [{ url: URL, name: '\uD83D' }, RangeError, /`name`/],
    [{ url: URL, groups: [] }, RangeError, /`groups`.*empty/],
    [{ url: URL, groups: 'billing' }, TypeError, /`groups`/],
    [{ url: URL, groups: ['billing', ''] }, RangeError, /`groups\[1\]`/],
    [{ url: URL, groups: [null] }, TypeError, /`groups\[0\]`/],
    [{ url: URL, lease: 99 }, RangeError, /`lease`.*100/],
    [{ url: URL, lease: '30s' }, TypeError, /`lease`/],
    [{ url: URL, lease: Number.NaN }, RangeError, /`lease`/],
    [{ url: URL, lease: 2 ** 31 }, RangeError, /`lease`.*2147483647/],
    [{ url: URL, publishTimeout: 2 ** 31 }, RangeError, /`publishTimeout`.*2147483647/],
    [{ url: URL, publishTimeout: 0 }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: Number.POSITIVE_INFINITY }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: '1s' }, TypeError, /`publishTimeout`/],
    [{ url: URL, logger: {} }, TypeError, /`logger`/],
  ])('%p are refused', (options, type, message) => {
    expect(construct(options)).toThrow(type);
    expect(construct(options)).toThrow(message);
  });

  it.each([[undefined], [null], ['amqp://127.0.0.1'], [7]])('that are %p instead of an object are refused', (options) => {
    expect(construct(options)).toThrow(TypeError);
  });

  it('take whatever is in range, and connect to nothing', async () => {
    for (const options of [
      { url: URL },
      { url: URL, name: 'x'.repeat(255), groups: ['a', 'a', 'ü'], lease: 100, publishTimeout: 1 },
      { url: URL, lease: 2 ** 31 - 1, publishTimeout: 2 ** 31 - 1, logger: undefined },
      { client },
    ]) {
      const queue = new RabbitMqBackend(options);
      expect(queue.name).toBe('name' in options ? options.name : 'default');
      await queue.close();
    }
  });
});

describe('The url of a RabbitMqBackend', () => {
  it.each([
    'amqp://localhost',
    'amqp://localhost/',
    'amqp://localhost:5673/shop',
    'amqp://localhost/%2F',
    'amqp://localhost/a%2Fb',
    'amqp://user:pass%20word@[::1]:5672/shop',
    'amqp://us%40er:p%3Aw@localhost',
    'amqps://example.org:5671/shop?heartbeat=1',
  ])('may be %s', async (url) => {
    const queue = new RabbitMqBackend({ url, logger: silentLogger });
    await queue.close();
  });

  const bad = [
    'localhost:5672',
    '127.0.0.1',
    'http://localhost',
    'redis://localhost',
    'amqp:',
    'amqp://',
    'amqp:///shop',
    'amqp:localhost',
    'amqp://localhost/shop/floor',
    'amqp://localhost:port',
    'amqp://localhost:99999',
    'amqp://:100%@localhost',
    'amqp://us%er@localhost',
    'amqp://localhost/%zz',
    'xamqp://localhost',
    ' ',
    'amqp://local host',
  ];

  it.each(bad)('may not be %s', (url) => {
    expect(construct({ url })).toThrow(TypeError);
    expect(construct({ url })).toThrow('amqp://');
    expect(thrownBy(() => RabbitMqBackend.fromEnv({ RABBITMQ_URL: url }))).toBeInstanceOf(ConfigurationError);
  });

  it.each(['http://user:s3cret@localhost', 'amqp://:s3cret@', 'amqp://:s3cret@host:port', 'amqp://:s3cret%@host', 'amqp:s3cret', 's3cret'])(
    'is not shown when it is refused: it may hold a password (%s)',
    (url) => {
      for (const run of [construct({ url }), () => RabbitMqBackend.fromEnv({ RABBITMQ_URL: url })]) {
        const { message, cause, stack } = thrownBy(run) as Error;
        expect([message, String(cause), stack].join()).not.toContain('s3cret');
      }
    },
  );
});

describe('RabbitMqBackend.fromEnv', () => {
  const RABBITMQ_URL = URL;

  it.each([
    ['RABBITMQ_URL', undefined],
    ['RABBITMQ_URL', ''],
    ['RABBITMQ_URL', 'localhost:5672'],
    ['QUEUE_NAME', 'x'.repeat(256)],
    ['QUEUE_GROUPS', 'billing,,audit'],
    ['QUEUE_GROUPS', ' '],
    ['QUEUE_GROUPS', 'x'.repeat(256)],
    ['QUEUE_LEASE', '30s'],
    ['QUEUE_LEASE', '99'],
    ['QUEUE_LEASE', '1e5'],
    ['QUEUE_LEASE', '1000.5'],
    ['QUEUE_LEASE', String(2 ** 31)],
    ['QUEUE_PUBLISH_TIMEOUT', '0'],
    ['QUEUE_PUBLISH_TIMEOUT', String(2 ** 31)],
    ['QUEUE_PUBLISH_TIMEOUT', 'never'],
  ])('refuses %s=%s, and names it', (variable, value) => {
    const error = thrownBy(() => RabbitMqBackend.fromEnv({ RABBITMQ_URL, [variable]: value }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect((error as Error).message).toContain(variable);
    expect((error as Error).message).toContain('Expected');
  });

  it('says what is expected', () => {
    const messageOf = (env: Record<string, string>) => (thrownBy(() => RabbitMqBackend.fromEnv(env)) as Error).message;
    expect(messageOf({})).toContain('amqp://user:password@host:5672/vhost');
    expect(messageOf({ RABBITMQ_URL, QUEUE_LEASE: '5' })).toMatch(/whole number of milliseconds, .*100/);
    expect(messageOf({ RABBITMQ_URL, QUEUE_GROUPS: 'a,,b' })).toContain('separated by commas');
  });

  it('takes empty variables for ones that are not set', async () => {
    const queue = RabbitMqBackend.fromEnv({ RABBITMQ_URL, QUEUE_NAME: '', QUEUE_GROUPS: '', QUEUE_LEASE: '', QUEUE_PUBLISH_TIMEOUT: '' });
    expect(queue.name).toBe('default');
    await queue.close();
  });

  it('reads the environment of the process', async () => {
    const { env } = process;
    process.env = { ...env, RABBITMQ_URL, QUEUE_NAME: 'of-the-process' };
    try {
      const queue = RabbitMqBackend.fromEnv();
      expect(queue.name).toBe('of-the-process');
      await queue.close();
    } finally {
      process.env = env;
    }
  });

  it('refuses a logger that is none', () => {
    expect(() => RabbitMqBackend.fromEnv({ RABBITMQ_URL }, { logger: {} as never })).toThrow(TypeError);
    expect(() => RabbitMqBackend.fromEnv({ RABBITMQ_URL }, null as never)).toThrow(TypeError);
  });
});
