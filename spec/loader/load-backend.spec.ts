import {
  ConfigurationError,
  type LoadBackendOptions,
  loadBackend,
  MemoryBackend,
  type QueueBackend,
  registerBackend,
} from 'sluice';
import * as imports from '../../src/loader/import-module.js';
import { BUILT_IN } from '../support/engines.js';
import { fakeQueue } from '../support/fake-queue.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { forgetBackends } from '../support/registry.js';

jest.mock('../../src/loader/import-module.js', () => {
  const actual = jest.requireActual<typeof imports>('../../src/loader/import-module.js');
  return { ...actual, importModule: jest.fn(actual.importModule) };
});

let names = 0;

/** A new name for each test, because memory queues are shared by name in the whole process. */
const freshName = () => `loaded-${++names}`;

beforeEach(() => {
  forgetBackends();
  jest.mocked(imports.importModule).mockClear();
});

describe('loadBackend if QUEUE_BACKEND is set', () => {
  it('loads memory with its own variables', async () => {
    const QUEUE_NAME = freshName();
    const queue = await loadBackend({
      env: { QUEUE_BACKEND: 'memory', QUEUE_NAME, QUEUE_CAPACITY: '1' },
      logger: silentLogger,
    });
    expect(queue).toBeInstanceOf(MemoryBackend);
    expect(queue.name).toBe(QUEUE_NAME);
    await queue.publish('number', { n: 1 });
    expect((queue as MemoryBackend).tryPublish('number', { n: 2 })).toBe(false);
  });

  it('warns once that memory is for development', async () => {
    const logger = recordingLogger();
    await loadBackend({ env: { QUEUE_BACKEND: 'memory', QUEUE_NAME: freshName() }, logger });
    expect(logger.warnings).toEqual([expect.stringMatching(/development and testing/)]);
  });

  it('loads the registered backend of this name, not the first', async () => {
    const queue = fakeQueue('sqs');
    registerBackend('kafka', () => fakeQueue('kafka'));
    registerBackend('sqs', () => queue);
    const logger = recordingLogger();
    expect(await loadBackend({ env: { QUEUE_BACKEND: 'sqs' }, logger })).toBe(queue);
    expect(logger.warnings).toEqual([]);
  });

  it('passes the variables to the factory and awaits its promise', async () => {
    const env = { QUEUE_BACKEND: 'kafka', KAFKA_URL: 'kafka://localhost' };
    const queue = fakeQueue('kafka');
    const factory = jest.fn(async () => queue);
    registerBackend('kafka', factory);
    expect(await loadBackend({ env })).toBe(queue);
    expect(factory.mock.calls).toEqual([[env]]);
  });

  it('creates a backend for each call', async () => {
    registerBackend('kafka', () => fakeQueue('kafka'));
    const env = { QUEUE_BACKEND: 'kafka' };
    const [first, second] = await Promise.all([loadBackend({ env }), loadBackend({ env })]);
    expect(first).not.toBe(second);
  });

  it.each([
    ['../evil', '"."'],
    ['redis/../x', '"/"'],
    ['/etc/passwd', '"/"'],
    ['Redis', '"R"'],
    ['MEMORY', '"M"'],
    [' ', '" "'],
    ['\t\n', '"\\t"'],
    [' redis', '" "'],
    ['redis ', '" "'],
    ['redis\n', '"\\n"'],
    ['a_b', '"_"'],
    ['a.b', '"."'],
    ['@scope/x', '"@"'],
    ['data:text/javascript,1', '":"'],
    ['rédis', '"é"'],
    ['🐇', '"🐇"'],
    ['a\0', '"\\u0000"'],
  ])('refuses %j before it imports anything', async (QUEUE_BACKEND, wrong) => {
    registerBackend('kafka', () => fakeQueue('kafka'));
    const logger = recordingLogger();
    const error = await failureOf(loadBackend({ env: { QUEUE_BACKEND }, logger }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect(error.message).toBe(
      `Expected QUEUE_BACKEND to be the name of a backend, of the characters a-z, 0-9 and -, such as memory, got a value with ${wrong} in it`,
    );
    expect(imports.importModule).not.toHaveBeenCalled();
    expect(logger.warnings).toEqual([]);
  });

  it('does not print the password of a URL in QUEUE_BACKEND', async () => {
    const error = await failureOf(loadBackend({ env: { QUEUE_BACKEND: 'redis://user:secret@localhost' } }));
    expect(error.message).toContain('QUEUE_BACKEND');
    expect(error.message).not.toMatch(/secret|user/);
  });

  it('reads process.env by default', async () => {
    const before = process.env.QUEUE_BACKEND;
    const queue = fakeQueue('kafka');
    registerBackend('sqs', () => fakeQueue('sqs'));
    registerBackend('kafka', () => queue);
    try {
      process.env.QUEUE_BACKEND = 'kafka';
      expect(await loadBackend()).toBe(queue);
    } finally {
      if (before === undefined) delete process.env.QUEUE_BACKEND;
      else process.env.QUEUE_BACKEND = before;
    }
  });

  it('returns a queue with the given event types', async () => {
    interface Events {
      greeting: { readonly text: string };
    }
    const queue: QueueBackend<Events> = await loadBackend<Events>({
      env: { QUEUE_BACKEND: 'memory', QUEUE_NAME: freshName() },
      logger: silentLogger,
    });
    await queue.publish('greeting', { text: 'hello' });
    // @ts-expect-error - There is no such event.
    await queue.publish('farewell', {});
    const { value } = await queue.consume().next();
    expect(value.text).toBe('hello');
  });
});

describe.each([
  ['not set', {}],
  ['undefined', { QUEUE_BACKEND: undefined }],
  ['empty', { QUEUE_BACKEND: '' }],
])('loadBackend if QUEUE_BACKEND is %s', (_, unset) => {
  it('uses the backend that was registered first', async () => {
    const queue = fakeQueue('kafka');
    registerBackend('kafka', () => queue);
    registerBackend('sqs', () => fakeQueue('sqs'));
    const logger = recordingLogger();
    expect(await loadBackend({ env: unset, logger })).toBe(queue);
    expect(logger.warnings).toEqual([]);
    expect(logger.debugs).toEqual([expect.stringMatching(/"kafka"/)]);
  });

  it('uses memory if nothing is registered, and names the variable to set', async () => {
    const logger = recordingLogger();
    const queue = await loadBackend({ env: { ...unset, QUEUE_NAME: freshName() }, logger });
    expect(queue).toBeInstanceOf(MemoryBackend);
    expect(logger.warnings).toEqual([
      expect.stringMatching(new RegExp(`^QUEUE_BACKEND is not set .*${BUILT_IN}`)),
      expect.stringMatching(/development and testing/),
    ]);
  });
});

describe('loadBackend with a name or groups', () => {
  const env = {
    QUEUE_BACKEND: 'kafka',
    KAFKA_URL: 'kafka://localhost',
    QUEUE_NAME: 'orders',
    QUEUE_GROUPS: 'billing,audit',
  };
  const { QUEUE_GROUPS: _, ...withoutGroups } = env;

  /** The variables that a registered factory receives. */
  async function given(options: LoadBackendOptions): Promise<unknown> {
    const factory = jest.fn(() => fakeQueue('kafka'));
    registerBackend('kafka', factory);
    await loadBackend({ env, logger: silentLogger, ...options });
    return (factory.mock.calls as unknown[][])[0]?.[0];
  }

  it('overrides QUEUE_NAME and omits QUEUE_GROUPS, which belongs to the queue of the environment', async () => {
    expect(await given({ name: 'orders.failed' })).toStrictEqual({ ...withoutGroups, QUEUE_NAME: 'orders.failed' });
  });

  it('overrides QUEUE_GROUPS', async () => {
    expect(await given({ groups: ['support', 'late night'] })).toStrictEqual({
      ...env,
      QUEUE_GROUPS: 'support,late night',
    });
  });

  it('overrides both', async () => {
    const options = { name: 'invoices', groups: ['archive'] };
    expect(await given(options)).toStrictEqual({ ...env, QUEUE_NAME: 'invoices', QUEUE_GROUPS: 'archive' });
  });

  it('overrides QUEUE_CREATE', async () => {
    expect(await given({ create: false })).toStrictEqual({ ...env, QUEUE_CREATE: 'false' });
    expect(await given({ create: true })).toStrictEqual({ ...env, QUEUE_CREATE: 'true' });
    await expect(given({ create: 'no' as never })).rejects.toThrow('Expected `create` to be a boolean');
  });

  it('changes nothing without them and never changes the given environment', async () => {
    const before = { ...env };
    expect(await given({ name: undefined, groups: undefined })).toBe(env);
    await given({ name: 'invoices', groups: ['archive'] });
    expect(env).toEqual(before);
  });

  it('creates a dead letter queue beside a queue with groups in memory', async () => {
    const QUEUE_NAME = freshName();
    const options = {
      env: { QUEUE_BACKEND: 'memory', QUEUE_NAME, QUEUE_GROUPS: 'billing,audit' },
      logger: silentLogger,
    };
    const orders = await loadBackend(options);
    const failed = await loadBackend({ ...options, name: `${QUEUE_NAME}.failed` });
    expect([orders.name, failed.name]).toEqual([QUEUE_NAME, `${QUEUE_NAME}.failed`]);
    await failed.publish('number', { n: 1 });
    expect((await failed.consume().next()).value).toEqual({ n: 1 });
    expect(() => orders.consume()).toThrow('declared: "billing", "audit"');
  });

  it('declares the groups of a built-in backend', async () => {
    const queue = await loadBackend({
      env: { QUEUE_BACKEND: 'memory' },
      name: freshName(),
      groups: ['billing'],
      logger: silentLogger,
    });
    expect(() => queue.deliveries({ group: 'audit' })).toThrow('declared: "billing"');
    await queue.close();
  });

  it('ignores variables that an option overrides', async () => {
    const broken = {
      QUEUE_BACKEND: 'redis',
      REDIS_URL: 'redis://localhost',
      QUEUE_NAME: 'n'.repeat(256),
      QUEUE_GROUPS: ',',
    };
    const queue = await loadBackend({ env: broken, name: 'orders', groups: ['billing'] });
    expect(queue.name).toBe('orders');
    await queue.close();
  });

  it.each<[options: object, named: string]>([
    [{ name: '' }, '`name`'],
    [{ name: 5 }, '`name`'],
    [{ name: 'n'.repeat(256) }, '`name`'],
    [{ groups: 'billing' }, '`groups`'],
    [{ groups: [] }, '`groups`'],
    [{ groups: ['billing', ''] }, '`groups[1]`'],
    [{ groups: ['billing', 'audit,archive'] }, '`groups[1]`'],
    [{ groups: [' billing'] }, '`groups[0]`'],
    [{ groups: ['billing\n'] }, '`groups[0]`'],
  ])('throws for %j and names the option', async (options, named) => {
    const factory = jest.fn(() => fakeQueue('kafka'));
    registerBackend('kafka', factory);
    const error = await failureOf(loadBackend({ env, ...options } as LoadBackendOptions));
    expect(['TypeError', 'RangeError']).toContain(error.name);
    expect(error.message).toContain(`Expected ${named} to be`);
    expect(factory).not.toHaveBeenCalled();
  });
});

describe('loadBackend of a registered backend', () => {
  const env = { QUEUE_BACKEND: 'kafka' };

  it.each([
    ['throws', (error: Error) => () => Promise.reject(error)],
    [
      'rejects with',
      (error: Error) => () => {
        throw error;
      },
    ],
  ])('passes on the error that its factory %s', async (_, factoryOf) => {
    const error = new ConfigurationError('Expected KAFKA_URL to be an address');
    registerBackend('kafka', factoryOf(error));
    expect(await failureOf(loadBackend({ env }))).toBe(error);
  });

  const { stats: _, ...withoutStats } = fakeQueue('no stats') as unknown as Record<string, unknown>;

  it.each([
    ['nothing', undefined, '`publish`, got undefined'],
    ['null', null, '`publish`, got null'],
    ['a string', 'kafka', '`publish`, got "kafka"'],
    ['an object without methods', {}, '`publish`, got an object'],
    ['a backend that lacks a method', withoutStats, '`stats`, got an object'],
    ['a class', MemoryBackend, '`publish`, got a function'],
  ])('refuses %s as a backend', async (_, value, expected) => {
    registerBackend('kafka', () => value as never);
    const error = await failureOf(loadBackend({ env }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(`Expected the backend "kafka" to have a method ${expected}`);
  });
});

describe('loadBackend with invalid options', () => {
  it.each([
    [null, /`options`/],
    ['memory', /`options`/],
    [{ env: null }, /`env`/],
    [{ env: 'QUEUE_BACKEND=memory' }, /`env`/],
    [{ env: {}, logger: {} }, /`logger`/],
    [{ env: {}, logger: null }, /`logger`/],
  ])('rejects %j', async (options, expected) => {
    const error = await failureOf(loadBackend(options as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(expected);
  });

  it.each<[variable: string, value: unknown, got: string]>([
    ['QUEUE_NAME', 5, 'a number'],
    ['QUEUE_GROUPS', ['billing'], 'an array'],
    ['QUEUE_GROUPS', 0, 'a number'],
    ['QUEUE_LEASE', Symbol('s3cret'), 'a symbol'],
    ['QUEUE_PUBLISH_TIMEOUT', 1000n, 'a bigint'],
    ['REDIS_URL', ['redis://:s3cret@localhost'], 'an array'],
    ['REDIS_URL', null, 'null'],
    ['REDIS_URL', new URL('redis://:s3cret@localhost'), 'an object'],
  ])('refuses a %s that is not a string and does not show it: %p', async (variable, value, got) => {
    const env = { QUEUE_BACKEND: 'redis', REDIS_URL: 'redis://localhost', [variable]: value } as Record<string, string>;
    const error = await failureOf(loadBackend({ env }));
    expect(error).toEqual(new ConfigurationError(`Expected ${variable} to be a string or not set, got ${got}`));
    expect(ConfigurationError.is(error)).toBe(true);
  });

  it('refuses a QUEUE_BACKEND that is not a string', async () => {
    const error = await failureOf(loadBackend({ env: { QUEUE_BACKEND: 5 } as never }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect(error.message).toMatch(/QUEUE_BACKEND.*got 5$/);
  });
});
