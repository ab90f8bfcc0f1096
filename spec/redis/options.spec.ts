import { createClient, createCluster } from 'redis';
import { RedisBackend, type RedisBackendOptions } from 'sluice/redis';
import { silentLogger } from '../support/recording-logger.js';

const URL = 'redis://127.0.0.1:1';

/** What is wrong, whether the type or the value, and how the message names it. */
type Case = readonly [options: object, type: typeof TypeError | typeof RangeError, message: RegExp];

const construct = (options: unknown) => () => new RedisBackend(options as RedisBackendOptions);

describe('The options of a RedisBackend', () => {
  it.each<Case>([
    [{}, TypeError, /`url`.*got undefined/],
    [{ url: 5 }, TypeError, /`url`.*got 5/],
    [{ url: null }, TypeError, /`url`.*got null/],
    [{ url: '' }, TypeError, /`url`/],
    [{ url: URL, client: createClient() }, TypeError, /`url`.*`client`/],
    [{ client: {} }, TypeError, /`client`.*`duplicate`/],
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
    [{ url: URL, lease: Number.POSITIVE_INFINITY }, RangeError, /`lease`/],
    [{ url: URL, lease: 2 ** 31 }, RangeError, /`lease`.*2147483647/],
    [{ url: URL, publishTimeout: 2 ** 31 }, RangeError, /`publishTimeout`.*2147483647/],
    [{ url: URL, publishTimeout: 0 }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: -1 }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: Number.NaN }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: Number.POSITIVE_INFINITY }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: '1s' }, TypeError, /`publishTimeout`/],
    [{ url: URL, logger: {} }, TypeError, /`logger`/],
    [{ url: URL, logger: console.log }, TypeError, /`logger`/],
  ])('%p are refused', (options, type, message) => {
    expect(construct(options)).toThrow(type);
    expect(construct(options)).toThrow(message);
  });

  it.each([[undefined], [null], ['redis://127.0.0.1'], [7]])('that are %p instead of an object are refused', (options) => {
    expect(construct(options)).toThrow(TypeError);
  });

  it('refuse the client of a cluster, which takes its commands in another way', () => {
    const client = createCluster({ rootNodes: [{ url: URL }] });
    expect(construct({ client })).toThrow(TypeError);
    expect(construct({ client })).toThrow(/`client`/);
  });

  it('take whatever is in range, and connect to nothing', async () => {
    for (const options of [
      { url: URL },
      { url: URL, name: 'x'.repeat(255), groups: ['a', 'a', 'ü'], lease: 100, publishTimeout: 1 },
      { url: URL, lease: 2 ** 31 - 1, publishTimeout: 2 ** 31 - 1 },
      { url: URL, lease: 100.5, publishTimeout: 0.5 + 1, logger: undefined },
      { client: createClient() },
    ]) {
      const queue = new RedisBackend(options);
      expect(queue.name).toBe('name' in options ? options.name : 'default');
      await queue.close();
    }
  });
});

describe('The url of a RedisBackend', () => {
  it.each([
    'redis://localhost',
    'redis://localhost:6380/3',
    'redis://user:pass%20word@[::1]:6379/0',
    'redis://:p%40ss@localhost/',
    'rediss://example.org:6380',
    'unix:///run/redis.sock',
    'unix:///run/my%20redis.sock?db=2',
    'unix://user:password@/run/redis.sock',
  ])('may be %s', async (url) => {
    const queue = new RedisBackend({ url, logger: silentLogger });
    await queue.close();
  });

  it.each([
    'localhost:6379',
    '127.0.0.1',
    'http://localhost',
    'amqp://localhost',
    'redis:',
    'redis://',
    'redis:///0',
    'redis://localhost/zero',
    'redis://localhost/0/1',
    'redis://localhost:port',
    'redis://localhost:99999',
    'unix://',
    'unix:///',
    'unix:/run/redis.sock',
    'unix:///run/%zz.sock',
    'unix:///run/redis.sock?db=three',
    'redis://:100%@localhost',
    'redis://us%er@localhost',
    ' ',
    'redis://local host',
  ])('may not be %s', (url) => {
    expect(construct({ url })).toThrow(TypeError);
    expect(construct({ url })).toThrow('redis://');
  });

  it.each(['http://user:s3cret@localhost', 'redis://:s3cret@', 'redis://:s3cret@host:port', 'redis://:s3cret%@host', 'unix:s3cret', 's3cret'])(
    'is not shown when it is refused: it may hold a password (%s)',
    (url) => {
      let thrown: unknown;
      try {
        construct({ url })();
      } catch (error) {
        thrown = error;
      }
      const { message, cause, stack } = thrown as Error;
      expect([message, String(cause), stack].join()).not.toContain('s3cret');
    },
  );
});
