import { clientsOf, engines, nowhere } from '../support/engines.js';
import { PackedPackage } from '../support/packed-package.js';

/** The result of one call of `loadBackend`. */
interface Report {
  readonly name?: string;
  /** Whether it is an instance of the class from the provider's subpath. */
  readonly sameClass?: boolean;
  readonly error?: { readonly code?: string; readonly message: string; readonly cause?: string };
}

/** Loads the backends in NAMES one after the other and prints a report of each. */
const LOAD = `
  const logger = { debug() {}, warn() {}, error() {} };
  const main = async (loadBackend, importSubpath) => {
    const { NAMES, SUBPATH } = process.env;
    const reports = {};
    for (const name of NAMES.split(',')) {
      try {
        const queue = await loadBackend({ env: { ...process.env, QUEUE_BACKEND: name }, logger });
        const Backend = SUBPATH && Object.values(await importSubpath(SUBPATH)).find((value) => typeof value.fromEnv === 'function');
        reports[name] = { name: queue.name, sameClass: Backend && queue instanceof Backend };
      } catch ({ code, message, cause }) {
        reports[name] = { error: { code, message, cause: cause?.message } };
      }
    }
    console.log(JSON.stringify(reports));
  };`;

/** An application in each module format. */
const programs = {
  'program.mjs': `import { loadBackend } from 'sluice'; ${LOAD} await main(loadBackend, (subpath) => import(subpath));`,
  'program.cjs': `const { loadBackend } = require('sluice'); ${LOAD} main(loadBackend, require);`,
};

const queue = (name: string) =>
  `{ name: '${name}', publish() {}, consume() {}, deliveries() {}, stats() {}, close() {} }`;

/** Backend packages: the manifest and the only file. */
const packages: Readonly<Record<string, { readonly manifest: object; readonly file: string; readonly code: string }>> =
  {
    esm: {
      manifest: { type: 'module', exports: { '.': { types: './index.d.ts', import: { node: './index.js' } } } },
      file: 'index.js',
      code: `await null; export const fromEnv = ({ QUEUE_BACKEND }) => (${queue('from esm')});`,
    },
    sugar: {
      manifest: { exports: { import: ['./index.mjs'] } },
      file: 'index.mjs',
      code: `export class SugarBackend { static async fromEnv() { return ${queue('from sugar')}; } }`,
    },
    cjs: {
      manifest: { main: './main.js' },
      file: 'main.js',
      code: `class Backend { static fromEnv() { return ${queue('from cjs')}; } } module.exports = Backend;`,
    },
    requirable: {
      manifest: { type: 'module', exports: { require: './index.cjs' } },
      file: 'index.cjs',
      code: `exports.fromEnv = () => (${queue('from requirable')});`,
    },
    compiled: {
      manifest: {},
      file: 'index.js',
      code: `Object.defineProperty(exports, '__esModule', { value: true }); exports['def' + 'ault'] = { fromEnv: () => (${queue('from compiled')}) };`,
    },
    'self-registering': {
      manifest: { type: 'module', exports: './index.js' },
      file: 'index.js',
      code: `import { registerBackend } from 'sluice'; registerBackend('self-registering', () => (${queue('from self-registering')}));`,
    },
    'self-requiring': {
      manifest: {},
      file: 'index.js',
      code: `require('sluice').registerBackend('self-requiring', () => (${queue('from self-requiring')}));`,
    },
    throwing: { manifest: {}, file: 'index.js', code: `throw new Error('no license');` },
    'without-import': {
      manifest: { type: 'module', exports: './index.js' },
      file: 'index.js',
      code: `import 'left-pad'; export const fromEnv = () => {};`,
    },
    'without-require': { manifest: {}, file: 'index.js', code: `require('left-pad');` },
    'without-file': {
      manifest: { type: 'module', exports: './index.js' },
      file: 'index.js',
      code: `import './gone.js'; export const fromEnv = () => {};`,
    },
    'without-entry': { manifest: { main: './gone.js' }, file: 'other.js', code: '' },
    'without-export': { manifest: { exports: { './other': './other.js' } }, file: 'other.js', code: '' },
    broken: { manifest: { type: 'module', exports: './index.js' }, file: 'index.js', code: 'export const = ;' },
  };

/**
 * The locations of the package and the program. "beside the library": in one folder with `sluice`,
 * as npm installs. "in the application": in an application with a link to `sluice`, which cannot
 * resolve the package itself, as with pnpm. There, the program runs in its own folder or elsewhere.
 */
const layouts = [
  { layout: 'beside the library', home: '.', folder: '.' },
  { layout: 'in the application', home: 'app', folder: 'app' },
  { layout: 'in the application, elsewhere', home: 'app', folder: '.' },
];

const cases = layouts.flatMap((layout) => Object.keys(programs).map((program) => ({ ...layout, program })));

/** A URL for each choice of clients. */
const addresses = [
  ...engines.map((engine) => ({ engine, url: nowhere(engine) })),
  ...engines
    .filter(({ name }) => name === 'postgres')
    .flatMap((engine) => ['postgresql://127.0.0.1:1', 'pglite:memory'].map((url) => ({ engine, url }))),
];

describe('loadBackend of the packed package', () => {
  let packed: PackedPackage;

  beforeAll(async () => {
    packed = await PackedPackage.create();
    await packed.link('sluice', { into: 'app', from: 'node_modules/sluice' });
    for (const home of ['.', 'app']) {
      await packed.write(Object.fromEntries(Object.entries(programs).map(([file, text]) => [`${home}/${file}`, text])));
    }
    // Each package is in both places, with the prefix `beside-` or `app-` in its name.
    for (const [name, { manifest, file, code }] of Object.entries(packages)) {
      for (const [home, prefix] of [
        ['.', 'beside'],
        ['app', 'app'],
      ] as const) {
        const folder = `${home}/node_modules/sluice-backend-${prefix}-${name}`;
        const json = JSON.stringify({ name: `sluice-backend-${prefix}-${name}`, version: '1.0.0', ...manifest });
        await packed.write({
          [`${folder}/package.json`]: json,
          [`${folder}/${file}`]: code.replaceAll(/'(self-\w+)'/g, `'${prefix}-$1'`),
        });
      }
    }
  }, 180_000);

  afterAll(() => packed?.remove());

  const load = async (
    names: readonly string[],
    { home = '.', folder = '.', program = 'program.mjs' },
    env = {},
  ): Promise<Record<string, Report>> =>
    JSON.parse(await packed.execute(`${home}/${program}`, { folder, env: { NAMES: names.join(), ...env } }));

  describe.each(cases)('$layout, used by $program', (where) => {
    const nameOf = (name: string) => `${where.home === '.' ? 'beside' : 'app'}-${name}`;
    let reports: Record<string, Report>;

    beforeAll(async () => {
      reports = await load([...Object.keys(packages), 'nowhere'].map(nameOf), where);
    });

    it.each(['esm', 'sugar', 'cjs', 'requirable', 'compiled', 'self-registering', 'self-requiring'])(
      'loads a package: %s',
      (name) => {
        expect(reports[nameOf(name)]).toEqual({ name: `from ${name}` });
      },
    );

    it.each([
      ['throwing', 'no license'],
      ['without-import', "Cannot find package 'left-pad'"],
      ['without-require', "Cannot find module 'left-pad'"],
      ['without-file', 'gone.js'],
      ['without-entry', 'gone.js'],
      ['without-export', 'exports'],
      ['broken', 'Unexpected token'],
    ])('reports the cause if an installed package fails to load: %s', (name, cause) => {
      const error = reports[nameOf(name)]?.error;
      expect(error).toMatchObject({ code: 'SLUICE_ERROR', cause: expect.stringContaining(cause) });
      expect(error?.message).toMatch(
        new RegExp(`^The package sluice-backend-${nameOf(name)} could not be loaded: .*${cause}`),
      );
    });

    it('shows how to install a missing package', () => {
      const error = reports[nameOf('nowhere')]?.error;
      const wanted = `sluice-backend-${nameOf('nowhere')}`;
      expect(error).toMatchObject({ code: 'SLUICE_BACKEND_NOT_FOUND', cause: expect.stringContaining(`'${wanted}'`) });
      expect(error?.message).toContain(`\n  npm install ${wanted}\n  pnpm add ${wanted}\n  yarn add ${wanted}`);
    });
  });

  describe.each(addresses)('Built-in backend $engine.name at $url', ({ engine, url }) => {
    const { name, variable } = engine;
    const clients = clientsOf(engine, url);

    it.each(Object.keys(programs))(
      'shows how to install a missing client, and works once it is installed: %s',
      async (program) => {
        for (const client of clients) await packed.unlink(client);
        const env = { QUEUE_NAME: 'orders', [variable]: url, SUBPATH: `sluice/${name}` };
        const missing = (await load([name], { program }, env))[name]?.error;
        expect(missing).toMatchObject({ code: 'SLUICE_BACKEND_NOT_FOUND', cause: expect.stringContaining("'") });
        const all = clients.join(' ');
        expect(missing?.message).toMatch(
          new RegExp(
            `^The backend "${name}" needs the packages? .* which (is|are) not (all )?installed\\. To install:`,
          ),
        );
        expect(missing?.message).toContain(`\n  npm install ${all}\n  pnpm add ${all}\n  yarn add ${all}`);
        for (const client of clients) await packed.link(client);
        expect(await load([name], { program }, env)).toEqual({ [name]: { name: 'orders', sameClass: true } });
      },
    );
  });

  it('shares registered backends between its two builds', async () => {
    await packed.write({
      'registers.cjs': `const { registerBackend } = require('sluice'); registerBackend('kafka', () => (${queue('from the other build')}));`,
      'loads.mjs': `import './registers.cjs'; ${programs['program.mjs']}`,
    });
    expect(await load(['kafka', ''], { program: 'loads.mjs' })).toEqual({
      kafka: { name: 'from the other build' },
      '': { name: 'from the other build' },
    });
  });
});
