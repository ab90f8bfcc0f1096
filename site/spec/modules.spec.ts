import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { init, parse } from 'es-module-lexer';
import * as operators from 'rxjs/operators';
import * as rxjsTesting from 'rxjs/testing';
import * as sluice from 'sluice';
import * as schema from 'sluice/schema';
import { moduleUrls } from '../playground/modules';
import type { Bundle } from '../playground/protocol';

const root = path.join(__dirname, '..', '..');
const bundler = pathToFileURL(path.join(root, 'site', 'build', 'modules.mjs')).href;

/** Runs a module in another process: jest loads no ES modules. Returns what it prints, as JSON. */
function runModule(code: string): unknown {
  const text = execFileSync(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 100_000_000,
    timeout: 100_000,
  });
  return JSON.parse(text);
}

describe('the bundled modules', () => {
  let bundle: Pick<Bundle, 'imports' | 'exports' | 'modules'>;
  let folder: string;
  /** Their files, by specifier. */
  let urls: Record<string, string>;

  beforeAll(() => {
    if (!existsSync(path.join(root, 'dist', 'index.js')))
      throw new Error('Expected a build: run `npm run build` first');
    bundle = runModule(`
      import { bundleModules } from ${JSON.stringify(bundler)};
      process.stdout.write(JSON.stringify(await bundleModules()));
    `) as typeof bundle;
    folder = mkdtempSync(path.join(tmpdir(), 'sluice-modules-'));
    let count = 0;
    // As in the worker, where each has a blob URL that tells nothing of its name.
    urls = moduleUrls(bundle, (code) => {
      const file = path.join(folder, `${++count}.mjs`);
      writeFileSync(file, code);
      return pathToFileURL(file).href;
    });
  });

  afterAll(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  it('are those that a program can import', () => {
    const names = ['rxjs', 'rxjs/operators', 'rxjs/testing', 'sluice', 'sluice/schema'];
    expect(Object.keys(bundle.imports).sort()).toEqual(names);
    expect(Object.keys(bundle.exports).sort()).toEqual(names);
    expect(Object.keys(urls).sort()).toEqual(names);
  });

  it.each<[string, object]>([
    ['sluice', sluice],
    ['sluice/schema', schema],
    ['rxjs/operators', operators],
    ['rxjs/testing', rxjsTesting],
  ])('have all the exports of %s', (specifier, source) => {
    const names = Object.keys(source).filter((name) => name !== '__esModule');
    expect(names.length).toBeGreaterThan(0);
    expect(bundle.exports[specifier]).toEqual(names.sort());
  });

  it('tell what they really export', () => {
    const exported = runModule(`
      const exported = {};
      for (const [specifier, url] of Object.entries(${JSON.stringify(urls)}))
        exported[specifier] = Object.keys(await import(url)).sort();
      process.stdout.write(JSON.stringify(exported));
    `);
    expect(exported).toEqual(bundle.exports);
  });

  it('come after those that they import, and import nothing else', async () => {
    await init();
    const known = new Set<string>();
    let imports = 0;
    for (const { name, code } of bundle.modules) {
      expect(code.length).toBeGreaterThan(0);
      const [found] = parse(code);
      for (const { type, start, end } of found) {
        const specifier = code.slice(start, end);
        // The library loads what its environment names: a variable.
        if (type === 'dynamic' && /^\w+$/.test(specifier)) continue;
        imports++;
        expect(specifier).toMatch(/^\.\//);
        expect(known).toContain(specifier.slice(2));
      }
      expect(known).not.toContain(name);
      known.add(name);
    }
    expect(imports).toBeGreaterThan(3);
  });

  it('share the classes and the schedulers of RxJS', () => {
    const result = runModule(`
      const [sluice, rxjs, operators, testing] = await Promise.all(
        ${JSON.stringify(['sluice', 'rxjs', 'rxjs/operators', 'rxjs/testing'].map((specifier) => urls[specifier]))}.map((url) => import(url)),
      );
      const queue = new sluice.MemoryBackend();
      const isObservable = queue.deliveries() instanceof rxjs.Observable;
      const sameOperators = rxjs.map === operators.map;
      const frames = [];
      new testing.TestScheduler(() => {}).run(() => {
        rxjs.timer(60_000).subscribe(() => frames.push(rxjs.asyncScheduler.now()));
        void queue.publish('order', {}, { delay: 5000 });
        queue.deliveries().subscribe((delivery) => {
          frames.push(rxjs.asyncScheduler.now());
          void delivery.ack();
        });
      });
      process.stdout.write(JSON.stringify({ isObservable, sameOperators, frames }));
    `);
    // An hour takes no time, also in the queue.
    expect(result).toEqual({ isObservable: true, sameOperators: true, frames: [5000, 60_000] });
  });

  it('keep the names of errors', () => {
    const result = runModule(`
      const { UnrecoverableError } = await import(${JSON.stringify(urls.sluice)});
      process.stdout.write(JSON.stringify([UnrecoverableError.name, new UnrecoverableError('a').name]));
    `);
    expect(result).toEqual(['UnrecoverableError', 'UnrecoverableError']);
  });
});

describe('the URLs of modules', () => {
  const create = jest.fn((_code: string, name: string) => `blob:${name}`);

  it('replace the imports of those before', () => {
    create.mockClear();
    const urls = moduleUrls(
      {
        imports: { a: 'a.js', 'a/b': 'a-b.js' },
        modules: [
          { name: 'chunk-X_1.js', code: 'export const x = "./y.js";' },
          { name: 'a.js', code: 'import{x}from"./chunk-X_1.js";export*from"./chunk-X_1.js";' },
          { name: 'a-b.js', code: 'import"./a.js";import{x}from"./chunk-X_1.js";' },
        ],
      },
      create,
    );
    expect(urls).toEqual({ a: 'blob:node_modules/a.js', 'a/b': 'blob:node_modules/a-b.js' });
    expect(create.mock.calls.map(([code]) => code)).toEqual([
      // What is no import stays.
      'export const x = "./y.js";',
      'import{x}from"blob:node_modules/chunk-X_1.js";export*from"blob:node_modules/chunk-X_1.js";',
      'import"blob:node_modules/a.js";import{x}from"blob:node_modules/chunk-X_1.js";',
    ]);
  });

  it('tell which module lacks', () => {
    expect(() => moduleUrls({ imports: { a: 'a.js' }, modules: [] }, create)).toThrow('Expected a module a.js for a');
  });
});
