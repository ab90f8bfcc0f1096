import { loadBackend, registerBackend } from 'sluice';
import { fakeQueue } from '../support/fake-queue.js';
import { thrownBy } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { forgetBackends } from '../support/registry.js';

beforeEach(forgetBackends);

const load = (name: string) => loadBackend({ env: { QUEUE_BACKEND: name }, logger: silentLogger });

describe('registerBackend', () => {
  it.each(['kafka', 'sqs-fifo', 's3', '0', '-', 'constructor'])('accepts the name %j', async (name) => {
    const queue = fakeQueue(name);
    registerBackend(name, () => queue);
    expect(await load(name)).toBe(queue);
  });

  it.each(['', ' ', 'Kafka', 'a/b', '../evil', 'a.b', 'a_b', ' kafka', 'kafka\n', 'kafkä', '@scope/kafka', 'file:x'])(
    'throws for the name %j',
    (name) => {
      const error = thrownBy(() => registerBackend(name, () => fakeQueue('never')));
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toMatch(
        /^Expected `name` to be the name of a backend, of the characters a-z, 0-9 and -, got "/,
      );
    },
  );

  it.each([undefined, null, 5, {}, ['kafka'], Symbol('kafka')])(
    'throws for a name that is not a string: %p',
    (name) => {
      const error = thrownBy(() => registerBackend(name as never, () => fakeQueue('never')));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(/^Expected `name` to be the name of a backend/);
    },
  );

  it.each(['memory', 'redis'])('lets another backend replace %s and warns when it is loaded', async (name) => {
    const queue = fakeQueue('stand-in');
    registerBackend(name, () => queue);
    const logger = recordingLogger();
    expect(await loadBackend({ env: { QUEUE_BACKEND: name }, logger })).toBe(queue);
    expect(logger.warnings).toEqual([`The registered backend "${name}" replaces the built-in one`]);
  });

  it('skips a replacement of memory if QUEUE_BACKEND is not set', async () => {
    const queue = fakeQueue('kafka');
    registerBackend('memory', () => fakeQueue('stand-in'));
    registerBackend('kafka', () => queue);
    expect(await loadBackend({ env: {}, logger: silentLogger })).toBe(queue);
  });

  it.each([undefined, null, {}, fakeQueue('no factory')])(
    'throws for a factory that is not a function: %p',
    (factory) => {
      const error = thrownBy(() => registerBackend('kafka', factory as never));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(/^Expected `factory` to be a function, got /);
    },
  );

  it('registers nothing if it throws', async () => {
    thrownBy(() => registerBackend('kafka', undefined as never));
    await expect(load('kafka')).rejects.toMatchObject({ code: 'SLUICE_BACKEND_NOT_FOUND' });
  });

  it('does not call the factory', () => {
    const factory = jest.fn(() => fakeQueue('kafka'));
    registerBackend('kafka', factory);
    expect(factory).not.toHaveBeenCalled();
  });

  it('shares registered backends with every copy of the library in the process', async () => {
    const queue = fakeQueue('kafka');
    registerBackend('kafka', () => queue);
    await jest.isolateModulesAsync(async () => {
      const copy = await import('sluice');
      expect(copy.registerBackend).not.toBe(registerBackend);
      expect(await copy.loadBackend({ env: { QUEUE_BACKEND: 'kafka' } })).toBe(queue);
    });
  });
});

describe('Registering a name again', () => {
  it('replaces the factory and warns when the backend is loaded', async () => {
    const [first, second] = [fakeQueue('first'), fakeQueue('second')];
    registerBackend('kafka', () => first);
    registerBackend('kafka', () => second);
    const logger = recordingLogger();
    expect(await loadBackend({ env: { QUEUE_BACKEND: 'kafka' }, logger })).toBe(second);
    expect(logger.warnings).toEqual([
      'The backend "kafka" was registered 2 times with different factories: using the last one',
    ]);
  });

  it('keeps its position', async () => {
    const queue = fakeQueue('kafka, registered again');
    registerBackend('kafka', () => fakeQueue('kafka'));
    registerBackend('sqs', () => fakeQueue('sqs'));
    registerBackend('kafka', () => queue);
    expect(await loadBackend({ env: {}, logger: silentLogger })).toBe(queue);
  });

  it('does not warn if the factory is the same', async () => {
    const factory = () => fakeQueue('kafka');
    registerBackend('kafka', factory);
    registerBackend('kafka', factory);
    const logger = recordingLogger();
    await loadBackend({ env: { QUEUE_BACKEND: 'kafka' }, logger });
    expect(logger.warnings).toEqual([]);
  });

  it('does not warn when another backend is loaded', async () => {
    registerBackend('sqs', () => fakeQueue('sqs'));
    registerBackend('kafka', () => fakeQueue('first'));
    registerBackend('kafka', () => fakeQueue('second'));
    const logger = recordingLogger();
    await loadBackend({ env: { QUEUE_BACKEND: 'sqs' }, logger });
    expect(logger.warnings).toEqual([]);
  });
});
