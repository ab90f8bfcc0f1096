import {
  checkDriverOptions,
  checkServer,
  connectTimeoutFor,
  type DriverOptions,
  decodeAll,
  readDriverEnv,
  responseTimeoutFor,
} from '../../src/core/options.js';
import { ConfigurationError } from '../../src/errors.js';
import type { Env } from '../../src/internal/environment.js';
import { thrownBy } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';

/** URLs of one scheme. */
const rule = {
  expected: 'a broker:// URL, such as "broker://localhost"',
  whereOf: (url: string) => (url.startsWith('broker://') ? url.slice('broker://'.length).split('@').at(-1) : undefined),
};

describe('checkDriverOptions', () => {
  it('applies the defaults', () => {
    expect(checkDriverOptions({})).toMatchObject({
      name: 'default',
      groups: ['default'],
      lease: 30_000,
      publishTimeout: 10_000,
      maxPending: 100_000,
    });
  });

  it('reports whether groups were declared', () => {
    const declared = (groups?: readonly string[]) => checkDriverOptions({ groups }).groupsDeclared;
    expect([declared(), declared(['default']), declared(['a'])]).toEqual([false, true, true]);
  });

  it('accepts values in range, and each group once', () => {
    const options = { name: 'é'.repeat(127), groups: ['a', 'b', 'a'], lease: 100, publishTimeout: 1, maxPending: 1 };
    expect(checkDriverOptions(options)).toMatchObject({ ...options, groups: ['a', 'b'] });
    expect(checkDriverOptions({ lease: 2 ** 31 - 1, publishTimeout: 2 ** 31 - 1 })).toMatchObject({
      lease: 2 ** 31 - 1,
      publishTimeout: 2 ** 31 - 1,
    });
  });

  it.each([
    [{ name: '' }, RangeError, /`name`/],
    [{ name: 7 }, TypeError, /`name`/],
    [{ name: null }, TypeError, /`name`/],
    [{ groups: [] }, RangeError, /`groups`.*empty/],
    [{ groups: 'a' }, TypeError, /`groups`/],
    [{ groups: ['a', ''] }, RangeError, /`groups\[1\]`/],
    [{ lease: 99 }, RangeError, /`lease`.*100.*2147483647/],
    [{ lease: 2 ** 31 }, RangeError, /`lease`/],
    [{ lease: '1s' }, TypeError, /`lease`/],
    [{ publishTimeout: 0 }, RangeError, /`publishTimeout`.*1 and at most 2147483647/],
    [{ publishTimeout: Number.POSITIVE_INFINITY }, RangeError, /`publishTimeout`/],
    [{ maxPending: 0 }, RangeError, /`maxPending`/],
    [{ maxPending: 1.5 }, RangeError, /`maxPending`/],
    [{ maxPending: Number.POSITIVE_INFINITY }, RangeError, /`maxPending`/],
    [{ maxPending: '7' }, TypeError, /`maxPending`/],
    [{ logger: {} }, TypeError, /`logger`.*`debug`/],
  ])('throws for %p', (options, type, message) => {
    const error = thrownBy(() => checkDriverOptions(options as DriverOptions));
    expect(error).toBeInstanceOf(type);
    expect(String(error)).toMatch(message);
  });

  it('does not fail when the logger throws', () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
    const broken = () => {
      throw new Error('full disk');
    };
    const { logger } = checkDriverOptions({ logger: { ...recordingLogger(), warn: broken } });
    expect(() => logger.warn('something')).not.toThrow();
    expect(() => jest.runAllTimers()).toThrow('full disk');
    jest.useRealTimers();
  });
});

describe('checkServer', () => {
  const check = (server: { url?: unknown; client?: object }) =>
    checkServer(server, {
      ...rule,
      checkClient: (client) => {
        if (!('send' in client)) throw new TypeError('Expected `client` to be a client');
      },
    });

  it('accepts a URL or a client', () => {
    const client = { send() {} };
    expect(check({ url: 'broker://user:s3cret@host' })).toEqual({ url: 'broker://user:s3cret@host' });
    expect(check({ client })).toEqual({ client });
  });

  it.each([
    [{}, 'Expected `url` to be a broker:// URL, such as "broker://localhost", got undefined'],
    [{ url: 7 }, 'Expected `url` to be a broker:// URL, such as "broker://localhost", got 7'],
    [{ url: 'broker://host', client: { send() {} } }, 'Expected either `url` or `client`, got both'],
    [{ client: {} }, 'Expected `client` to be a client'],
    [
      { url: 'http://:s3cret@host' },
      'Expected `url` to be a broker:// URL, such as "broker://localhost", got something else (not shown: it may hold a password)',
    ],
  ])('throws for %p', (server, message) => {
    expect(thrownBy(() => check(server))).toEqual(new TypeError(message));
  });
});

describe('readDriverEnv', () => {
  const read = (env: Env) => readDriverEnv({ BROKER_URL: 'broker://host', ...env }, 'BROKER_URL', rule);

  it('reads the URL, and leaves the others undefined', () => {
    const options = read({ QUEUE_GROUPS: '', QUEUE_LEASE: '' });
    expect(options).toEqual({
      url: 'broker://host',
      name: 'default',
      groups: undefined,
      lease: undefined,
      publishTimeout: undefined,
    });
    expect(checkDriverOptions(options)).toMatchObject({
      name: 'default',
      groups: ['default'],
      lease: 30_000,
      publishTimeout: 10_000,
    });
  });

  it('reads all variables', () => {
    expect(
      read({ QUEUE_NAME: 'orders', QUEUE_GROUPS: 'billing, audit', QUEUE_LEASE: '100', QUEUE_PUBLISH_TIMEOUT: '1' }),
    ).toEqual({
      url: 'broker://host',
      name: 'orders',
      groups: ['billing', 'audit'],
      lease: 100,
      publishTimeout: 1,
    });
  });

  it.each([
    [{ BROKER_URL: undefined }, /BROKER_URL.*broker:\/\/.*is not set/],
    [{ BROKER_URL: '' }, /BROKER_URL.*is not set/],
    [{ BROKER_URL: 's3cret' }, /BROKER_URL.*broker:\/\/.*not shown/],
    [{ QUEUE_NAME: 'x'.repeat(256) }, /QUEUE_NAME/],
    [{ QUEUE_GROUPS: 'a,,b' }, /QUEUE_GROUPS.*commas/],
    [{ QUEUE_LEASE: '99' }, /QUEUE_LEASE.*from 100 to 2147483647, got "99"/],
    [{ QUEUE_LEASE: '30s' }, /QUEUE_LEASE/],
    [{ QUEUE_LEASE: '2147483648' }, /QUEUE_LEASE/],
    [{ QUEUE_PUBLISH_TIMEOUT: '0' }, /QUEUE_PUBLISH_TIMEOUT.*from 1 to/],
    [{ QUEUE_PUBLISH_TIMEOUT: '1e3' }, /QUEUE_PUBLISH_TIMEOUT/],
    [{ QUEUE_PUBLISH_TIMEOUT: '-5' }, /QUEUE_PUBLISH_TIMEOUT/],
  ])('throws for %p and shows no password', (env, message) => {
    const error = thrownBy(() => read(env)) as Error;
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('s3cret');
  });
});

describe('connectTimeoutFor', () => {
  it.each([
    [100, 1000],
    [3000, 1000],
    [6000, 2000],
    [30_000, 10_000],
    [2 ** 31 - 1, 10_000],
  ])('is a third of the lease within limits: %i ms gives %i ms', (lease, connectTimeout) => {
    expect(connectTimeoutFor(lease)).toBe(connectTimeout);
  });
});

describe('responseTimeoutFor', () => {
  it('leaves two thirds of `publishTimeout` by default', () => {
    const { lease, publishTimeout } = checkDriverOptions({});
    expect([publishTimeout, responseTimeoutFor({ lease, publishTimeout })]).toEqual([10_000, 3333]);
  });

  it.each([
    [30_000, 60_000, 10_000],
    [30_000, 6000, 2000],
    [6000, 30_000, 2000],
    [30_000, 3000, 1000],
    [30_000, 1, 1000],
    [2 ** 31 - 1, 2 ** 31 - 1, 10_000],
  ])(
    'is a third of the shorter one, within limits: a lease of %i ms and a publish timeout of %i ms give %i ms',
    (lease, publishTimeout, timeout) => {
      expect(responseTimeoutFor({ lease, publishTimeout })).toBe(timeout);
    },
  );
});

describe('decodeAll', () => {
  it('throws for invalid percent-encoding', () => {
    expect(() => decodeAll('a%20b', 'c')).not.toThrow();
    expect(() => decodeAll('a', '100%')).toThrow(URIError);
  });
});
