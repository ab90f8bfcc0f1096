import { inspect } from 'node:util';
import { ConfigurationError, type Logger, loadBackend, MemoryBackend } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { describeVariable } from '../../src/internal/environment.js';
import { engines, nowhere } from '../support/engines.js';
import type { BackendClass } from '../support/provider.js';

const BROKER = ['QUEUE_NAME', 'QUEUE_GROUPS', 'QUEUE_LEASE', 'QUEUE_PUBLISH_TIMEOUT'];

const ENGINES = [
  { Backend: MemoryBackend as BackendClass, url: {}, variables: ['QUEUE_NAME', 'QUEUE_GROUPS', 'QUEUE_CAPACITY'] },
  ...engines.map((engine) => ({
    Backend: require(`sluice/${engine.name}`)[engine.class] as BackendClass,
    url: { [engine.variable]: nowhere(engine) },
    variables: [...BROKER, ...(engine.variables ?? [])],
  })),
];

const SECRETS = [
  'redis://admin:hunter2@localhost',
  'amqps://admin:hun,ter2@broker.example.com:5671/vhost',
  'nats://hunter2@localhost',
  'nats://a:hunter2@one,nats://a:hunter2@two',
];

const cases = ENGINES.flatMap(({ Backend, url, variables }) =>
  variables.flatMap((variable) => SECRETS.map((secret) => ({ engine: Backend.name, Backend, url, variable, secret }))),
);

/** A logger that records its calls. */
function completeLogger(): Logger & { readonly logged: unknown[] } {
  const logged: unknown[] = [];
  const log = (...call: unknown[]) => void logged.push(call);
  return { logged, debug: log, warn: log, error: log };
}

const shown = (...values: unknown[]): string =>
  inspect(values, { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null });

describe('A URL with a password in the wrong variable', () => {
  it.each(cases)('is refused by $engine and not shown: $variable=$secret', ({ Backend, url, variable, secret }) => {
    const logger = completeLogger();
    let error: unknown;
    try {
      Backend.fromEnv({ ...url, [variable]: secret }, { logger });
    } catch (thrown) {
      error = thrown;
    }
    expect(ConfigurationError.is(error)).toBe(true);
    expect((error as Error).message).toContain(variable);
    expect((error as Error).message).toContain(`a text of ${secret.length} characters`);
    expect(shown(error, logger.logged)).not.toMatch(/hunter2|hun|ter2/);
  });

  it.each(SECRETS)('is refused as QUEUE_BACKEND and not shown: %s', async (secret) => {
    const logger = completeLogger();
    const error: unknown = await loadBackend({ env: { QUEUE_BACKEND: secret }, logger }).catch(
      (reason: unknown) => reason,
    );
    expect(ConfigurationError.is(error)).toBe(true);
    expect(shown(error, logger.logged)).not.toMatch(/hunter2|hun|ter2/);
  });
});

describe('A name in the environment', () => {
  it.each(['orders@eu', 'https://example.com/orders', 'eu:orders/paid'])('may be %s', async (name) => {
    const queue = RedisBackend.fromEnv({
      REDIS_URL: 'redis://localhost:1',
      QUEUE_NAME: name,
      QUEUE_GROUPS: `${name},audit`,
    });
    expect(queue.name).toBe(name);
    await queue.close();
  });
});

describe('describeVariable', () => {
  it.each(['30s', '-1', '1e5', '1000.5', 'never', 'a:b', '+1', 'x'.repeat(32)])('shows %s', (value) => {
    expect(describeVariable(value)).toBe(JSON.stringify(value));
  });

  it.each(['x'.repeat(33), 'redis://h', 'user@host', 'a b', 'a\nb', '1000\n', '/tmp/x', 'é'])(
    'shows only the length of %p',
    (value) => {
      expect(describeVariable(value)).toBe(`a text of ${value.length} characters`);
    },
  );
});
