import type { NatsConnection } from '@nats-io/transport-node';
import { NatsBackend, type NatsBackendOptions } from 'sluice/nats';
import { thrownBy } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const URL = 'nats://127.0.0.1:1';

const client = { publish() {}, subscribe() {}, request() {}, status() {}, isClosed: () => true, closed: async () => {}, flush: async () => {} };

/** What is wrong, whether the type or the value, and how the message names it. */
type Case = readonly [options: object, type: typeof TypeError | typeof RangeError, message: RegExp];

const construct = (options: unknown) => () => new NatsBackend(options as NatsBackendOptions);

describe('The options of a NatsBackend', () => {
  it.each<Case>([
    [{}, TypeError, /`url`.*got undefined/],
    [{ url: 5 }, TypeError, /`url`.*got 5/],
    [{ url: null }, TypeError, /`url`.*got null/],
    [{ url: '' }, TypeError, /`url`/],
    [{ url: ['nats://localhost'] }, TypeError, /`url`/],
    [{ url: URL, client }, TypeError, /`url`.*`client`/],
    [{ client: {} }, TypeError, /`client`.*`publish`/],
    [{ client: null }, TypeError, /`client`/],
    [{ url: URL, name: '' }, RangeError, /`name`/],
    [{ url: URL, name: 7 }, TypeError, /`name`/],
    [{ url: URL, name: 'x'.repeat(256) }, RangeError, /`name`/],
    [{ url: URL, name: '\uD83D' }, RangeError, /`name`/],
    [{ url: URL, groups: [] }, RangeError, /`groups`.*empty/],
    [{ url: URL, groups: 'billing' }, TypeError, /`groups`/],
    [{ url: URL, groups: ['billing', ''] }, RangeError, /`groups\[1\]`/],
    [{ url: URL, groups: [null] }, TypeError, /`groups\[0\]`/],
    [{ url: URL, lease: 99 }, RangeError, /`lease`.*100/],
    [{ url: URL, lease: '30s' }, TypeError, /`lease`/],
    [{ url: URL, lease: Number.NaN }, RangeError, /`lease`/],
    [{ url: URL, lease: 2 ** 31 }, RangeError, /`lease`.*2147483647/],
    [{ url: URL, publishTimeout: 0 }, RangeError, /`publishTimeout`/],
    [{ url: URL, publishTimeout: 2 ** 31 }, RangeError, /`publishTimeout`.*2147483647/],
    [{ url: URL, publishTimeout: '1s' }, TypeError, /`publishTimeout`/],
    [{ url: URL, replicas: 0 }, RangeError, /`replicas`/],
    [{ url: URL, replicas: 6 }, RangeError, /`replicas`.*5/],
    [{ url: URL, replicas: 1.5 }, RangeError, /`replicas`/],
    [{ url: URL, replicas: '3' }, TypeError, /`replicas`/],
    [{ url: URL, storage: 'disk' }, RangeError, /`storage`/],
    [{ url: URL, storage: null }, TypeError, /`storage`/],
    [{ url: URL, logger: {} }, TypeError, /`logger`/],
  ])('%p are refused', (options, type, message) => {
    expect(construct(options)).toThrow(type);
    expect(construct(options)).toThrow(message);
  });

  it.each([[undefined], [null], [URL], [7]])('that are %p instead of an object are refused', (options) => {
    expect(construct(options)).toThrow(TypeError);
  });

  it('take whatever is in range, and connect to nothing', async () => {
    const all: NatsBackendOptions[] = [
      { url: URL },
      { url: URL, name: 'x'.repeat(255), groups: ['a', 'a', 'ü'], lease: 100, publishTimeout: 1, replicas: 5, storage: 'memory' },
      { url: URL, lease: 2 ** 31 - 1, publishTimeout: 2 ** 31 - 1, replicas: undefined, storage: undefined },
      { url: URL, lease: 100.5, publishTimeout: 0.5 + 1, logger: undefined },
      { client: client as unknown as NatsConnection },
    ];
    for (const options of all) {
      const queue = new NatsBackend(options);
      expect(queue.name).toBe(options.name ?? 'default');
      await queue.close();
    }
  });
});

describe('The url of a NatsBackend', () => {
  it.each([
    'nats://localhost',
    'nats://localhost/',
    'nats://localhost:4223',
    'nats://user:pass%20word@[::1]:4222',
    'nats://t%40ken@localhost',
    'tls://example.org:4443',
    'nats://one,nats://two:4223, tls://three',
    'nats://user:password@one,nats://two',
  ])('may be %s', async (url) => {
    await new NatsBackend({ url, logger: silentLogger }).close();
  });

  it.each([
    'localhost:4222',
    '127.0.0.1',
    'http://localhost',
    'redis://localhost',
    'ws://localhost',
    'nats:',
    'nats://',
    'nats:///',
    'nats://localhost/path',
    'nats://localhost?x=1',
    'nats://localhost#x',
    'nats://localhost:port',
    'nats://localhost:99999',
    'nats://us%er@localhost',
    'nats://one,',
    ',nats://one',
    'nats://one;nats://two',
    'nats://one nats://two',
    ' ',
    'nats://local host',
    'nats://:password@localhost',
  ])('may not be %s', (url) => {
    expect(construct({ url })).toThrow(TypeError);
    expect(construct({ url })).toThrow('nats://');
  });

  it.each([
    'http://user:s3cret@localhost',
    'nats://user:s3cret@',
    'nats://user:s3cret@host:port',
    'nats://user:s3cret%@host',
    'nats://s3cret%@host',
    's3cret',
    'nats://one,nats://user:s3cret@',
  ])('is not shown when it is refused: it may hold a password (%s)', (url) => {
    const { message, cause, stack } = thrownBy(construct({ url })) as Error;
    expect([message, String(cause), stack].join()).not.toContain('s3cret');
  });
});
