/**
 * Bundles the built package for a browser, with its dependencies, and fails when something in it
 * needs Node.js.
 */
import { builtinModules } from 'node:module';
import { build } from 'esbuild';

const { metafile } = await build({
  entryPoints: ['dist/index.js'],
  bundle: true,
  platform: 'browser',
  format: 'esm',
  // Not an error of esbuild but external, so that all of them can be named, each with the file that
  // imports it.
  external: ['node:*', ...builtinModules],
  metafile: true,
  write: false,
  logLevel: 'error',
});

const externals = Object.entries(metafile.inputs).flatMap(([file, { imports }]) =>
  imports.filter(({ external }) => external).map(({ path }) => `${file} imports ${path}`),
);

if (externals.length > 0) {
  console.error(['Not for a browser:', ...externals].join('\n  '));
  process.exitCode = 1;
}
