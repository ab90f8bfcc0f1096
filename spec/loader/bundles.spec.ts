import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import vm from 'node:vm';
import { type BuildOptions, build } from 'esbuild';
import { ROOT } from '../support/root.js';

const PROGRAM = `
  import { loadBackend, registerBackend } from './src/index.ts';
  const warnings = [];
  const logger = { debug() {}, warn: (message) => warnings.push(message), error() {} };
  const codeOf = (name) => loadBackend({ env: { QUEUE_BACKEND: name }, logger }).then(() => 'loaded', ({ code, message }) => code + ' ' + message);
  const main = async () => {
    const queue = await loadBackend({ logger });
    await queue.publish('greeting', { text: 'hello' });
    const { value } = await queue.consume().next();
    const [redis, nowhere] = [await codeOf('redis'), await codeOf('nowhere')];
    registerBackend('own', () => queue);
    report(JSON.stringify({ received: value.text, warnings: warnings.length, redis, nowhere, own: await codeOf('own') }));
  };
  main();`;

/** Bundles the program with all its imports. Fails if the bundler follows a backend's client. */
async function bundle(options: BuildOptions): Promise<string> {
  const { outputFiles, warnings } = await build({
    stdin: { contents: PROGRAM, resolveDir: ROOT },
    bundle: true,
    write: false,
    logLevel: 'silent',
    tsconfigRaw: {},
    plugins: [
      {
        name: 'no-clients',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^(redis|sluice)/ }, ({ path: name }) => ({
            errors: [{ text: `The bundle must not import ${name}` }],
          })),
      },
    ],
    ...options,
  });
  expect(warnings).toEqual([]);
  return outputFiles?.[0]?.text ?? '';
}

describe('loadBackend in a bundle', () => {
  it('loads memory and registered backends without Node.js', async () => {
    const code = await bundle({ platform: 'browser', format: 'iife' });
    const { setTimeout, clearTimeout, performance, AbortController, TextEncoder } = globalThis;
    const console = { warn() {}, error() {} };
    const reported = new Promise<string>((report) => {
      vm.runInNewContext(code, {
        report,
        setTimeout,
        clearTimeout,
        performance,
        AbortController,
        TextEncoder,
        console,
      });
    });
    expect(JSON.parse(await reported)).toEqual({
      received: 'hello',
      warnings: 2,
      redis: expect.stringMatching(/^SLUICE_ERROR The backend "redis" could not be loaded/),
      nowhere: expect.stringMatching(/^SLUICE_ERROR The package sluice-backend-nowhere could not be loaded/),
      own: 'loaded',
    });
  });

  it.each(['esm', 'cjs'] as const)(
    'for Node.js explains how to load a backend that is not included: %s',
    async (format) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'sluice-bundle-'));
      try {
        const file = path.join(folder, format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
        await build({
          stdin: { contents: `globalThis.report = console.log;\n${await bundle({ platform: 'node', format: 'esm' })}` },
          format,
          outfile: file,
          logLevel: 'silent',
        });
        const { stdout } = await promisify(execFile)(process.execPath, [file], {
          cwd: folder,
          env: { ...process.env, QUEUE_BACKEND: '' },
        });
        expect(JSON.parse(stdout)).toEqual({
          received: 'hello',
          warnings: 2,
          redis: expect.stringMatching(
            /^SLUICE_ERROR The backend "redis" could not be loaded from within a bundle. Keep the package sluice external, or make/,
          ),
          nowhere: expect.stringMatching(/^SLUICE_BACKEND_NOT_FOUND .*npm install sluice-backend-nowhere/s),
          own: 'loaded',
        });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
