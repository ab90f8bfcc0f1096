import typescript from '@rollup/plugin-typescript';
import { dts } from 'rollup-plugin-dts';

/** Each public entry of the package; a subpath of `exports` each. */
const input = { index: 'src/index.ts' };

const external = ['rxjs'];

/** One file a module: an entry that is added later shares its classes with the others. */
const modules = { preserveModules: true, preserveModulesRoot: 'src', dir: 'dist' };

export default [
  {
    input,
    external,
    output: [
      { ...modules, format: 'es', entryFileNames: '[name].js' },
      { ...modules, format: 'cjs', entryFileNames: '[name].cjs' },
    ],
    plugins: [typescript({ tsconfig: 'tsconfig.build.json' })],
  },
  {
    input,
    external,
    output: [
      { dir: 'dist', format: 'es', entryFileNames: '[name].d.ts' },
      { dir: 'dist', format: 'es', entryFileNames: '[name].d.cts' },
    ],
    plugins: [dts({ tsconfig: 'tsconfig.build.json' })],
  },
];
