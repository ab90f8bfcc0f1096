import path from 'node:path';
import { clientsOf, engines, nowhere } from '../support/engines.js';
import { PackedPackage } from '../support/packed-package.js';

const fixture = (name: string) => path.join(__dirname, 'fixtures', name);

const strict = { target: 'ES2022', strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false };

describe('the packed package', () => {
  let packed: PackedPackage;

  beforeAll(async () => {
    packed = await PackedPackage.create();
    for (const client of engines.flatMap((engine) => clientsOf(engine))) await packed.link(client);
  }, 180_000);

  afterAll(() => packed?.remove());

  it('contains the build, the guides and the examples, and no contributor files', async () => {
    expect(packed.files).toEqual(
      expect.arrayContaining(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'docs/guides/README.md']),
    );
    const wanted = /^((dist|docs[\\/]guides|examples)[\\/].+|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/;
    expect(packed.files.filter((file) => !wanted.test(file))).toEqual([]);
  });

  it('has source maps with their sources and without paths of the build machine', async () => {
    const maps = packed.files.filter((file) => file.endsWith('.map'));
    expect(maps).not.toEqual([]);
    for (const map of maps) {
      const { sources, sourcesContent } = JSON.parse(await packed.read(map));
      expect(sources.filter((source: string) => !/^(\.\.\/)+src\/[^.]+\.(ts|lua|sql)$/.test(source))).toEqual([]);
      expect(sourcesContent).toEqual(sources.map(() => expect.any(String)));
    }
  });

  it.each(['module.mjs', 'commonjs.cjs'])('runs when used by %s', async (script) => {
    expect(await packed.run(fixture(script))).toBe('received 1, then 2\nhandled 3\n');
  });

  it.each(['kit.mjs', 'kit.cjs'])('has a testing kit, and a backend for each installed client: %s', async (script) => {
    const table = engines.map((engine) => ({ subpath: engine.name, name: engine.class, url: nowhere(engine) }));
    const lines = [...engines.map((engine) => `${engine.class} orders`), '15 rules kept'];
    expect(await packed.run(fixture(script), JSON.stringify(table))).toBe(`${lines.join('\n')}\n`);
  });

  describe('the command line', () => {
    /** The file that `npx sluice` runs, within the package. */
    let program: string;

    const sluice = (folder: string, ...args: readonly string[]) =>
      packed.execute(path.join('node_modules', 'sluice', program), { args, folder, env: { QUEUE_BACKEND: 'memory' } });

    beforeAll(async () => {
      program = JSON.parse(await packed.read('package.json')).bin.sluice;
      for (const type of ['module', 'commonjs'])
        await packed.write({ [`uses-${type}/package.json`]: JSON.stringify({ type }) });
    });

    it('is a program of Node.js, with the licenses of the libraries that it contains', async () => {
      expect(await packed.read(program)).toMatch(/^#!\/usr\/bin\/env node\n/);
      const licenses = await packed.read(path.join(path.dirname(program), 'LICENSES.txt'));
      expect(licenses).toContain('Name: commander');
    });

    it.each(['module', 'commonjs'])('runs in a project of type %s', async (type) => {
      expect(await sluice(`uses-${type}`, '--help')).toMatch(/^Usage: sluice /);
      expect(await sluice(`uses-${type}`, '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
      expect(await sluice(`uses-${type}`, 'publish', 'orders.created', '{"order":7}')).toBe('{"confirmed":1}\n');
    });

    it('shows its help without loading the package', async () => {
      await packed.unlink('rxjs');
      try {
        expect(await sluice('.', '--help')).toMatch(/^Usage: sluice /);
        expect(await sluice('.', 'replay', '--help')).toMatch(/^Usage: sluice replay /);
      } finally {
        await packed.link('rxjs');
      }
    });
  });

  it('shares queues, error classes and settled promises between its two builds', async () => {
    expect(JSON.parse(await packed.run(fixture('both-builds.mjs')))).toEqual({
      sameClass: false,
      received: { id: 1 },
      handled: [3, 0],
      isClosed: { esm: true, commonjs: true },
      isOverflow: { esm: false, commonjs: false },
    });
  });

  it.each([
    ['an ES module for Node.js', 'module', { module: 'NodeNext', lib: ['ES2022'], types: ['node'] }],
    ['a CommonJS module for Node.js', 'commonjs', { module: 'NodeNext', lib: ['ES2022'], types: ['node'] }],
    ['an older target', 'module', { module: 'NodeNext', target: 'ES2020', lib: ['ES2020'], types: ['node'] }],
    [
      'a project that resolves by `main`',
      'commonjs',
      { module: 'CommonJS', moduleResolution: 'node10', lib: ['ES2022'], types: ['node'], ignoreDeprecations: '6.0' },
    ],
    ['a bundler', 'module', { module: 'ESNext', moduleResolution: 'bundler', lib: ['ES2022', 'DOM'], types: [] }],
  ] as const)(
    'has types for %s',
    async (_, type, options) => {
      expect(await packed.compile(fixture('typed.ts'), type, { ...strict, ...options })).toBe('');
    },
    60_000,
  );

  it.each([
    ['an ES module for Node.js', 'module', 'typed.ts', { module: 'NodeNext', types: ['node'] }],
    ['a CommonJS module for Node.js', 'commonjs', 'typed.ts', { module: 'NodeNext', types: ['node'] }],
    [
      'a project that resolves by `main`',
      'commonjs',
      'typed.ts',
      { module: 'CommonJS', moduleResolution: 'node', esModuleInterop: true, types: ['node'] },
    ],
    [
      'a project without the types of Node.js',
      'module',
      'without-node.ts',
      { module: 'NodeNext', lib: ['ES2022', 'DOM'], types: [] },
    ],
  ] as const)(
    'has types for the oldest supported TypeScript in %s',
    async (_, type, file, options) => {
      expect(
        await packed.compile(fixture(file), type, { ...strict, lib: ['ES2022'], ...options }, 'typescript-minimum'),
      ).toBe('');
    },
    60_000,
  );

  it('has types for `await using`, even if the lib of the project lacks them', async () => {
    const options = { module: 'NodeNext', lib: ['ES2022', 'DOM'], types: [] };
    expect(await packed.compile(fixture('await-using.ts'), 'module', { ...strict, ...options })).toBe('');
  }, 60_000);
});
