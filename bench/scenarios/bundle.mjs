import path from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { folder } from '../lib/dist.mjs';

/** Returns the size of a bundle with some exports and without RxJS, in kilobytes of 1,000 bytes. */
async function sizeOf(names) {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    stdin: { contents: `export { ${names} } from './index.js'`, resolveDir: path.resolve(folder) },
    external: ['rxjs'],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'error',
  });
  return brotliCompressSync(outputFiles[0].contents).length / 1000;
}

const bundle = (title, names, atMost) => ({
  title,
  text: `An ES module that exports \`${names}\`, bundled and minified by esbuild and compressed by Brotli, without RxJS.`,
  unit: 'KB',
  table: 'bundles',
  messages: 1,
  rounds: 1,
  warmUps: 0,
  contenders: ['sluice'],
  goals: [{ atMost }],
  async run() {
    const startedAt = performance.now();
    return { value: await sizeOf(names), seconds: (performance.now() - startedAt) / 1000 };
  },
});

export const bundleMemory = bundle('Size of MemoryBackend in a bundle', 'MemoryBackend', 8);
export const bundleHandle = bundle('The same with handle', 'MemoryBackend, handle', 11);
