import { readFileSync, rmSync } from 'node:fs';
import commonjs from '@rollup/plugin-commonjs';
import nodeResolve from '@rollup/plugin-node-resolve';
import typescript from '@rollup/plugin-typescript';
import { dts } from 'rollup-plugin-dts';
import license from 'rollup-plugin-license';
import { text } from './scripts/text.mjs';

const { exports, peerDependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/**
 * Each public entry of the package, by its name in `dist`: what `exports` promises is what is
 * built.
 */
const input = Object.fromEntries(
  Object.values(exports)
    .filter((target) => typeof target === 'object')
    .map((target) => target.import.default.match(/^\.\/dist\/(.+)\.js$/)[1])
    .map((name) => [name, `src/${name}.ts`]),
);

const external = [/^node:/, ...Object.keys(peerDependencies).map((name) => new RegExp(`^${name}(/|$)`))];

/** One file a module: all entries share their classes. */
const modules = { dir: 'dist', preserveModules: true, preserveModulesRoot: 'src' };

/** Once all sources have compiled, nothing of an older build stays. */
const emptyDist = {
  name: 'empty-dist',
  buildEnd(error) {
    if (error === undefined) rmSync('dist', { recursive: true, force: true });
  },
};

/**
 * Where the loader imports a provider by the name of its subpath, the CommonJS build requires it,
 * for the classes that the application gets by requiring it too. Any other import by name stays
 * one, since an ES module cannot be required.
 */
const requireProviders = {
  name: 'require-providers',
  renderDynamicImport({ format, moduleId, targetModuleId }) {
    if (format !== 'cjs' || targetModuleId !== null || !moduleId.endsWith('/src/loader/providers.ts')) return null;
    return { left: 'Promise.resolve(', right: ').then(require)' };
  },
};

const types = { ...modules, format: 'es' };

export default [
  {
    input,
    external,
    output: [
      { ...modules, format: 'es', sourcemap: true, entryFileNames: '[name].js' },
      { ...modules, format: 'cjs', sourcemap: true, entryFileNames: '[name].cjs' },
    ],
    plugins: [text, typescript({ tsconfig: 'tsconfig.build.json' }), requireProviders, emptyDist],
  },
  {
    input,
    external,
    output: [
      { ...types, entryFileNames: '[name].d.ts' },
      { ...types, entryFileNames: '[name].d.cts' },
    ],
    plugins: [text, dts({ tsconfig: 'tsconfig.build.json' })],
  },
  {
    // The command line: it uses the package as an application does, and contains its other libraries.
    input: { sluice: 'src/cli/main.ts' },
    external: [/^node:/, 'sluice'],
    output: {
      dir: 'dist/cli',
      format: 'es',
      entryFileNames: '[name].js',
      chunkFileNames: '[name].js',
      banner: ({ isEntry }) => (isEntry ? '#!/usr/bin/env node' : ''),
    },
    plugins: [
      nodeResolve({ preferBuiltins: true }),
      commonjs(),
      typescript({ tsconfig: 'tsconfig.cli.json' }),
      license({ thirdParty: { includeSelf: false, output: 'dist/cli/LICENSES.txt' } }),
    ],
  },
];
