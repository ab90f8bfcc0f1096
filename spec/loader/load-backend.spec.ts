import { ConfigurationError, loadBackend, MemoryBackend, type QueueBackend, registerBackend } from 'sluice';
import * as imports from '../../src/loader/import-module.js';
import { fakeQueue } from '../support/fake-queue.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { forgetBackends } from '../support/registry.js';

jest.mock('../../src/loader/import-module.js', () => {
  const actual = jest.requireActual<typeof imports>('../../src/loader/import-module.js');
  return { ...actual, importModule: jest.fn(actual.importModule) };
});

let names = 0;

/** A name of its own for each test: what memory makes by name is shared in the whole process. */
const freshName = () => `loaded-${++names}`;

beforeEach(() => {
  forgetBackends();
  jest.mocked(imports.importModule).mockClear();
});

describe('loadBackend, where QUEUE_BACKEND is set', () => {
  it('loads memory, which reads its own variables', async () => {
    const QUEUE_NAME = freshName();
    const queue = await loadBackend({ env: { QUEUE_BACKEND: 'memory', QUEUE_NAME, QUEUE_CAPACITY: '1' }, logger: silentLogger });
    expect(queue).toBeInstanceOf(MemoryBackend);
    expect(queue.name).toBe(QUEUE_NAME);
    await queue.publish('number', { n: 1 });
    expect((queue as MemoryBackend).tryPublish('number', { n: 2 })).toBe(false);
  });

  it('says only once that memory is for development', async () => {
    const logger = recordingLogger();
    await loadBackend({ env: { QUEUE_BACKEND: 'memory', QUEUE_NAME: freshName() }, logger });
    expect(logger.warnings).toEqual([expect.stringMatching(/development and testing/)]);
  });

  it('loads what was registered, not what was registered first', async () => {
    const queue = fakeQueue('sqs');
    registerBackend('kafka', () => fakeQueue('kafka'));
    registerBackend('sqs', () => queue);
    const logger = recordingLogger();
    expect(await loadBackend({ env: { QUEUE_BACKEND: 'sqs' }, logger })).toBe(queue);
    expect(logger.warnings).toEqual([]);
  });

  it('hands the factory the variables, and takes a promise of it', async () => {
    const env = { QUEUE_BACKEND: 'kafka', KAFKA_URL: 'kafka://localhost' };
    const queue = fakeQueue('kafka');
    const factory = jest.fn(async () => queue);
    registerBackend('kafka', factory);
    expect(await loadBackend({ env })).toBe(queue);
    expect(factory.mock.calls).toEqual([[env]]);
  });

  it('makes a backend for each call', async () => {
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
  ])('refuses %j before anything is imported', async (QUEUE_BACKEND, wrong) => {
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

  it('prints no password of an address that was put there', async () => {
    const error = await failureOf(loadBackend({ env: { QUEUE_BACKEND: 'redis://user:secret@localhost' } }));
    expect(error.message).toContain('QUEUE_BACKEND');
    expect(error.message).not.toMatch(/secret|user/);
  });

  it('reads process.env when nothing else is given', async () => {
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

  it('gives a queue of the events that it is asked for', async () => {
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
])('loadBackend, where QUEUE_BACKEND is %s', (_, unset) => {
  it('takes the backend that was registered first', async () => {
    const queue = fakeQueue('kafka');
    registerBackend('kafka', () => queue);
    registerBackend('sqs', () => fakeQueue('sqs'));
    const logger = recordingLogger();
    expect(await loadBackend({ env: unset, logger })).toBe(queue);
    expect(logger.warnings).toEqual([]);
    expect(logger.debugs).toEqual([expect.stringMatching(/"kafka"/)]);
  });

  it('takes memory where nothing is registered, and says what to set', async () => {
    const logger = recordingLogger();
    const queue = await loadBackend({ env: { ...unset, QUEUE_NAME: freshName() }, logger });
    expect(queue).toBeInstanceOf(MemoryBackend);
    expect(logger.warnings).toEqual([
      expect.stringMatching(/^QUEUE_BACKEND is not set .*memory, nats, rabbitmq, redis/),
      expect.stringMatching(/development and testing/),
    ]);
  });
});

describe('loadBackend, of a registered backend', () => {
  const env = { QUEUE_BACKEND: 'kafka' };

  it.each([
    ['throws', (error: Error) => () => Promise.reject(error)],
    [
      'rejects with',
      (error: Error) => () => {
        throw error;
      },
    ],
  ])('passes on what its factory %s', async (_, factoryOf) => {
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
  ])('refuses %s for a backend', async (_, value, expected) => {
    registerBackend('kafka', () => value as never);
    const error = await failureOf(loadBackend({ env }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(`Expected what makes the backend "kafka" to give one, with a method ${expected}`);
  });
});

describe('loadBackend, of options without sense', () => {
  it.each([
    [null, /`options`/],
    ['memory', /`options`/],
    [{ env: null }, /`env`/],
    [{ env: 'QUEUE_BACKEND=memory' }, /`env`/],
    [{ env: {}, logger: {} }, /`logger`/],
    [{ env: {}, logger: null }, /`logger`/],
  ])('refuses %j', async (options, expected) => {
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
  ])('refuses a %s that is no string, and does not show it: %p', async (variable, value, got) => {
    const env = { QUEUE_BACKEND: 'redis', REDIS_URL: 'redis://localhost', [variable]: value } as Record<string, string>;
    const error = await failureOf(loadBackend({ env }));
    expect(error).toEqual(new ConfigurationError(`Expected ${variable} to be a string or not set, got ${got}`));
    expect(ConfigurationError.is(error)).toBe(true);
  });

  it('refuses a QUEUE_BACKEND that is no string', async () => {
    const error = await failureOf(loadBackend({ env: { QUEUE_BACKEND: 5 } as never }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect(error.message).toMatch(/QUEUE_BACKEND.*got 5$/);
  });
});
