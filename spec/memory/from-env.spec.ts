import { ConfigurationError, MemoryBackend, SluiceError } from 'sluice';
import { publishAll, pull } from '../support/consumers.js';
import { rejectionOf, stateOf, thrownBy } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

let names = 0;

/** A new name for each test, because queues are shared by name in the whole process. */
const freshName = () => `from-env-${++names}`;

const fromEnv = (env: Record<string, string>) => MemoryBackend.fromEnv(env, { logger: silentLogger });

describe('MemoryBackend.fromEnv', () => {
  it('reads the name', () => {
    const QUEUE_NAME = freshName();
    expect(fromEnv({ QUEUE_NAME }).name).toBe(QUEUE_NAME);
  });

  it('reads process.env by default', () => {
    const before = process.env.QUEUE_NAME;
    const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
    const name = freshName();
    try {
      process.env.QUEUE_NAME = name;
      expect(MemoryBackend.fromEnv().name).toBe(name);
      expect(warn).toHaveBeenCalledWith(expect.stringMatching(/development/));
    } finally {
      warn.mockRestore();
      if (before === undefined) delete process.env.QUEUE_NAME;
      else process.env.QUEUE_NAME = before;
    }
  });

  it('logs names in one line', () => {
    const logger = recordingLogger();
    const QUEUE_NAME = `${freshName()}\nforged`;
    MemoryBackend.fromEnv({ QUEUE_NAME }, { logger });
    MemoryBackend.fromEnv({ QUEUE_NAME, QUEUE_GROUPS: 'one\rforged' }, { logger });
    expect(logger.warnings).toHaveLength(3);
    expect(logger.warnings.join('')).not.toMatch(/[\r\n]/);
  });

  it('refuses an invalid logger', () => {
    expect(thrownBy(() => MemoryBackend.fromEnv({}, { logger: {} as never }))).toMatchObject({
      message: expect.stringContaining('`logger'),
    });
  });

  it('has a default for every variable', async () => {
    const queue = fromEnv({});
    expect(queue.name.length).toBeGreaterThan(0);
    expect(
      await stateOf(
        Promise.all(
          publishAll(
            queue,
            Array.from({ length: 1000 }, (_, n) => n),
          ),
        ),
      ),
    ).toBe('fulfilled');
    await queue.close({ drain: false });
  });

  it('reads the capacity', async () => {
    const queue = fromEnv({ QUEUE_NAME: freshName(), QUEUE_CAPACITY: '1' });
    void publishAll(queue, [1]);
    expect(queue.tryPublish('number', { n: 2 })).toBe(false);
  });

  it('accepts Infinity as capacity', () => {
    const queue = fromEnv({ QUEUE_NAME: freshName(), QUEUE_CAPACITY: 'Infinity' });
    void publishAll(queue, [1]);
    expect(queue.tryPublish('number', { n: 2 })).toBe(true);
  });

  it('reads the groups', async () => {
    const queue = fromEnv({ QUEUE_NAME: freshName(), QUEUE_GROUPS: 'billing,audit' });
    void publishAll(queue, [1]);
    const payloads = [
      await pull(queue.consume({ group: 'billing' }), 1),
      await pull(queue.consume({ group: 'audit' }), 1),
    ];
    expect(payloads).toEqual([[{ n: 1 }], [{ n: 1 }]]);
  });

  it('refuses a payload that JSON would change, like a broker', async () => {
    const queue = fromEnv({ QUEUE_NAME: freshName() });
    const payload = { items: [{ at: new Date(0) }] };
    expect(await rejectionOf(queue.publish('order', payload))).toMatchObject({
      code: 'SLUICE_INVALID_MESSAGE',
      path: 'payload.items[0].at',
    });
    expect(queue.size).toBe(0);
  });

  it('delivers a copy of the payload, like a broker', async () => {
    const queue = fromEnv({ QUEUE_NAME: freshName() });
    const payload = { n: 1 };
    void queue.publish('number', payload);
    const [received] = await pull(queue.consume(), 1);
    expect(received).toEqual(payload);
    expect(received).not.toBe(payload);
  });

  it('warns that it is for development and testing', () => {
    const logger = recordingLogger();
    MemoryBackend.fromEnv({ QUEUE_NAME: freshName() }, { logger });
    expect(logger.warnings).toEqual([expect.stringMatching(/development.*test/i)]);
  });

  it.each([
    ['QUEUE_CAPACITY', '0'],
    ['QUEUE_CAPACITY', '-1'],
    ['QUEUE_CAPACITY', '1.5'],
    ['QUEUE_CAPACITY', 'many'],
    ['QUEUE_CAPACITY', '10 messages'],
    ['QUEUE_CAPACITY', 'NaN'],
    ['QUEUE_CAPACITY', Symbol('10') as never],
    ['QUEUE_CAPACITY', [5] as never],
    ['QUEUE_NAME', 'n'.repeat(256)],
    ['QUEUE_DEDUPE_WINDOW', '99'],
    ['QUEUE_DEDUPE_WINDOW', '1.5'],
    ['QUEUE_DEDUPE_WINDOW', 'a minute'],
    ['QUEUE_GROUPS', 'billing,,audit'],
    ['QUEUE_GROUPS', ','],
    ['QUEUE_GROUPS', `billing,${'g'.repeat(256)}`],
  ])('throws a ConfigurationError for %s=%s that names the variable', (variable, value) => {
    const error = thrownBy(() => fromEnv({ QUEUE_NAME: freshName(), [variable]: value }));
    expect(ConfigurationError.is(error)).toBe(true);
    expect(SluiceError.is(error)).toBe(true);
    expect((error as Error).message).toContain(variable);
  });
});

describe('Queues from the environment', () => {
  it('with the same name share one queue', async () => {
    const env = { QUEUE_NAME: freshName() };
    const [producer, consumer] = [fromEnv(env), fromEnv(env)];
    void publishAll(producer, [1]);
    expect(consumer.size).toBe(1);
    expect(await pull(consumer.consume(), 1)).toEqual([{ n: 1 }]);
  });

  it('with different names are separate', () => {
    const [one, other] = [fromEnv({ QUEUE_NAME: freshName() }), fromEnv({ QUEUE_NAME: freshName() })];
    void publishAll(one, [1]);
    expect(other.size).toBe(0);
  });

  it('may be named __proto__ or constructor', () => {
    const [one, other] = [fromEnv({ QUEUE_NAME: '__proto__' }), fromEnv({ QUEUE_NAME: 'constructor' })];
    void publishAll(one, [1]);
    expect(other.size).toBe(0);
    expect(fromEnv({ QUEUE_NAME: '__proto__' }).size).toBe(1);
  });

  it('are separate from queues created with new', () => {
    const name = freshName();
    const shared = fromEnv({ QUEUE_NAME: name });
    const own = new MemoryBackend({ name });
    void publishAll(shared, [1]);
    expect(own.size).toBe(0);
  });

  it.each([
    ['QUEUE_CAPACITY', '2', '3'],
    ['QUEUE_GROUPS', 'billing', 'billing,audit'],
    ['QUEUE_DEDUPE_WINDOW', '1000', '2000'],
  ])('use the %s of the first one and warn if another one differs', (variable, first, second) => {
    const QUEUE_NAME = freshName();
    const queue = fromEnv({ QUEUE_NAME, [variable]: first });
    const logger = recordingLogger();
    MemoryBackend.fromEnv({ QUEUE_NAME, [variable]: first }, { logger });
    expect(logger.warnings.filter((warning) => warning.includes(variable))).toEqual([]);
    MemoryBackend.fromEnv({ QUEUE_NAME, [variable]: second }, { logger });
    expect(logger.warnings.filter((warning) => warning.includes(variable)).length).toBe(1);
    if (variable !== 'QUEUE_CAPACITY') return;
    void publishAll(queue, [1, 2]);
    expect(queue.tryPublish('number', { n: 3 })).toBe(false);
  });

  it('are all closed by one caller and can be created again', async () => {
    const env = { QUEUE_NAME: freshName() };
    const [first, second] = [fromEnv(env), fromEnv(env)];
    void publishAll(first, [1]);
    await second.close();
    expect(await rejectionOf(first.publish('number', { n: 2 }))).toMatchObject({ code: 'SLUICE_QUEUE_CLOSED' });
    const third = fromEnv({ ...env, QUEUE_CAPACITY: '1' });
    expect(third.size).toBe(0);
    void publishAll(third, [3]);
    expect(third.tryPublish('number', { n: 4 })).toBe(false);
    expect(first.size).toBe(1);
  });

  it('are shared by two copies of the library in one process', async () => {
    const env = { QUEUE_NAME: freshName() };
    const own = fromEnv(env);
    void publishAll(own, [1]);
    await jest.isolateModulesAsync(async () => {
      const copy = await import('sluice');
      expect(copy.MemoryBackend).not.toBe(MemoryBackend);
      const other = copy.MemoryBackend.fromEnv(env, { logger: silentLogger });
      expect(other.size).toBe(1);
      expect(await pull(other.consume(), 1)).toEqual([{ n: 1 }]);
      await other.close();
    });
    expect(await rejectionOf(own.publish('number', { n: 2 }))).toMatchObject({ code: 'SLUICE_QUEUE_CLOSED' });
  });
});
