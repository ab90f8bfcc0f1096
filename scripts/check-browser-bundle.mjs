/** Bundles the built package with its dependencies for a browser. Fails if a file needs Node.js. */
import { builtinModules } from 'node:module';
import { build } from 'esbuild';

const { metafile } = await build({
  entryPoints: ['dist/index.js'],
  bundle: true,
  platform: 'browser',
  format: 'esm',
  // Mark the import as external instead of failing, so that all imports are listed with their
  // files.
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
