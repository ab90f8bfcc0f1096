import { BackendNotFoundError, ConfigurationError, loadBackend, registerBackend, SluiceError } from 'sluice';
import { BUILT_IN } from '../support/engines.js';
import { fakeQueue } from '../support/fake-queue.js';
import { failureOf } from '../support/promises.js';
import { forgetBackends } from '../support/registry.js';

let names = 0;

/** The name of a package that was not imported before. */
const freshName = () => `fake-${++names}`;

/** Mocks an installed package. */
const install = (name: string, module: () => unknown) =>
  jest.doMock(`sluice-backend-${name}`, module, { virtual: true });

const load = (name: string, env = {}) => loadBackend({ env: { ...env, QUEUE_BACKEND: name } });

const queue = fakeQueue('fake');
const fromEnv = (env: { readonly FAKE?: string }) => ({ ...queue, name: `fake of ${env.FAKE}` });

/** The exports of an ES module. */
const esModule = (exports: object) => Object.defineProperty({ ...exports }, '__esModule', { value: true });

// Its method needs `this`, like those of most classes.
class FakeBackend {
  static readonly make = fromEnv;
  readonly kind = 'fake';

  static fromEnv(env: object) {
    return this.make(env);
  }
}

class OtherBackend extends FakeBackend {}

beforeEach(forgetBackends);

describe('A backend package', () => {
  it.each<[string, object]>([
    ['exports fromEnv', { fromEnv }],
    ['exports a promise from fromEnv', { fromEnv: async (env: object) => fromEnv(env) }],
    ['has a default with fromEnv', esModule({ default: { fromEnv } })],
    ['has a default class with fromEnv', esModule({ default: FakeBackend })],
    ['is a class with fromEnv, as a CommonJS module', FakeBackend],
    ['has a default inside its default, like a compiled module', esModule({ default: { default: FakeBackend } })],
    ['exports a class with fromEnv', esModule({ FakeBackend, VERSION: '1', helper() {} })],
    ['exports that class twice', esModule({ FakeBackend, Alias: FakeBackend })],
    ['exports a class with fromEnv, as a CommonJS module', { FakeBackend }],
    ['prefers its fromEnv to its classes', esModule({ fromEnv, FakeBackend: class {}, OtherBackend })],
  ])('may be a module that %s', async (_, module) => {
    const name = freshName();
    install(name, () => module);
    expect((await load(name, { FAKE: 'this test' })).name).toBe('fake of this test');
  });

  it('may register itself', async () => {
    const name = freshName();
    install(name, () => {
      registerBackend(name, () => queue);
      return { fromEnv: () => fakeQueue('not this one') };
    });
    expect(await load(name)).toBe(queue);
  });

  it('is not imported if its name is registered', async () => {
    const name = freshName();
    const module = jest.fn(() => ({ fromEnv }));
    install(name, module);
    registerBackend(name, () => queue);
    expect(await load(name)).toBe(queue);
    expect(module).not.toHaveBeenCalled();
  });

  it.each<[string, object, string]>([
    ['nothing', esModule({}), 'no exports'],
    ['nothing with fromEnv', esModule({ create() {}, default: {} }), 'the exports create, default'],
    ['several classes with fromEnv', esModule({ FakeBackend, OtherBackend }), 'the exports FakeBackend, OtherBackend'],
    ['a fromEnv that is not a function', esModule({ fromEnv: {} }), 'the exports fromEnv'],
  ])('is refused if it exports %s', async (_, module, got) => {
    const name = freshName();
    install(name, () => module);
    const error = await failureOf(load(name));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(
      `Expected the package sluice-backend-${name} to register a backend "${name}", or to export \`fromEnv\`, a default with \`fromEnv\` or one class with a ` +
        `static \`fromEnv\`, got ${got}`,
    );
  });

  it('is refused if it registers another name', async () => {
    const name = freshName();
    install(name, () => {
      registerBackend('another', () => queue);
      return {};
    });
    expect(await failureOf(load(name))).toBeInstanceOf(TypeError);
  });

  it('is refused if its factory returns no backend', async () => {
    const name = freshName();
    install(name, () => ({ fromEnv: () => ({ publish() {} }) }));
    const error = await failureOf(load(name));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(`"${name}"`);
  });

  it('that throws while it loads is not reported as missing', async () => {
    const name = freshName();
    const cause = new Error('no such thing as a fake');
    install(name, () => {
      throw cause;
    });
    const error = await failureOf(load(name));
    expect(BackendNotFoundError.is(error)).toBe(false);
    expect(SluiceError.is(error)).toBe(true);
    expect(error.message).toBe(
      `The package sluice-backend-${name} could not be loaded: Error: no such thing as a fake`,
    );
    expect(error.cause).toBe(cause);
  });

  it.each([
    ['while it loads', (error: Error) => () => Promise.reject(error)],
    ['in fromEnv', (error: Error) => ({ fromEnv: () => Promise.reject(error) })],
  ])('may throw a ConfigurationError %s', async (when, moduleOf) => {
    const name = freshName();
    const error = new ConfigurationError('Expected FAKE to be there');
    install(name, () => {
      if (when === 'while it loads') throw error;
      return moduleOf(error);
    });
    expect(await failureOf(load(name))).toBe(error);
  });
});

describe('A backend that is not found', () => {
  it('is named in the error with the available ones and the install commands', async () => {
    registerBackend('kafka', () => queue);
    registerBackend('sqs', () => queue);
    const error = await failureOf(load('nowhere'));
    expect(BackendNotFoundError.is(error)).toBe(true);
    expect(error.message).toMatch(
      new RegExp(
        `^QUEUE_BACKEND names the backend "nowhere", which does not exist \\(built in: ${BUILT_IN}; registered: kafka, sqs\\)`,
      ),
    );
    expect(error.message.split('\n').slice(1)).toEqual([
      '  npm install sluice-backend-nowhere',
      '  pnpm add sluice-backend-nowhere',
      '  yarn add sluice-backend-nowhere',
    ]);
    expect(error.cause).toMatchObject({ code: 'MODULE_NOT_FOUND' });
  });

  it('is named with a note that none is registered', async () => {
    expect((await failureOf(load('nowhere'))).message).toContain('none is registered');
  });

  it.each([
    ['rediss', 'redis'],
    ['nast', 'nats'],
    ['rabbit', 'rabbitmq'],
    ['kafk', 'kafka'],
  ])('may be misspelt: %s is no advice to install a package of that name', async (name, meant) => {
    registerBackend('kafka', () => queue);
    const { message } = await failureOf(load(name));
    expect(message).toMatch(
      new RegExp(`the package sluice-backend-${name} is not installed. Did you mean "${meant}"\\?$`),
    );
  });

  it.each([
    ['pglite', '"postgres", with POSTGRES_URL=pglite:…?'],
    ['postgresql', '"postgres"?'],
  ])('may be the scheme of a URL: %s', async (name, meant) => {
    expect((await failureOf(load(name))).message.endsWith(`Did you mean ${meant}`)).toBe(true);
  });

  it.each(['constructor', 'node', '-'])('may be named %s', async (name) => {
    expect(BackendNotFoundError.is(await failureOf(load(name)))).toBe(true);
  });
});
