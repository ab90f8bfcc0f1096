// Bundles what runs in the sandbox of the playground: the library as it is published, RxJS, the
// worker and the frame. Writes one file, which the page fetches once.
//
//   node site/build/modules.mjs    after `npm run build`
//
// The modules import each other by name, such as `./rxjs.js`. The worker replaces the names by blob
// URLs, so they come in the order of their dependencies.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const site = path.join(import.meta.dirname, '..');
const root = path.join(site, '..');
const OUTPUT = path.join(site, 'playground', 'generated', 'modules.json');

/** What a program can import, and where it is. */
const ENTRIES = {
  sluice: path.join(root, 'dist', 'index.js'),
  'sluice/schema': path.join(root, 'dist', 'schema', 'index.js'),
  rxjs: path.join(root, 'node_modules', 'rxjs', 'dist', 'esm', 'index.js'),
  'rxjs/operators': path.join(root, 'node_modules', 'rxjs', 'dist', 'esm', 'operators', 'index.js'),
  'rxjs/testing': path.join(root, 'node_modules', 'rxjs', 'dist', 'esm', 'testing', 'index.js'),
};

/** @type {import('esbuild').BuildOptions} */
const COMMON = {
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  // Names stay: an error shows the name of its class.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'inline',
  logLevel: 'warning',
};

/**
 * Bundles the library and RxJS. They share chunks: `rxjs/testing` must replace the time of the very
 * schedulers that `sluice` uses.
 */
export async function bundleModules() {
  if (!existsSync(ENTRIES.sluice)) {
    throw new Error(`Expected the build of the library at ${ENTRIES.sluice}: run \`npm run build\` first`);
  }
  const names = Object.fromEntries(Object.keys(ENTRIES).map((specifier) => [specifier, specifier.replace('/', '-')]));
  const { outputFiles, metafile } = await build({
    ...COMMON,
    entryPoints: Object.fromEntries(Object.entries(ENTRIES).map(([specifier, file]) => [names[specifier], file])),
    // The condition chooses the same build of RxJS as the entries above.
    conditions: ['es2015'],
    splitting: true,
    // A class that refers to itself is renamed otherwise, and the console would show `_MemoryBackend`.
    keepNames: true,
    metafile: true,
    outdir: root,
    absWorkingDir: root,
  });
  const texts = new Map(outputFiles.map((file) => [path.relative(root, file.path), file.text]));
  const modules = inOrder(metafile.outputs).map((name) => ({ name, code: texts.get(name) ?? '' }));
  const fileOf = (specifier) => `${names[specifier]}.js`;
  return {
    imports: Object.fromEntries(Object.keys(ENTRIES).map((specifier) => [specifier, fileOf(specifier)])),
    exports: Object.fromEntries(
      Object.keys(ENTRIES).map((specifier) => [specifier, [...metafile.outputs[fileOf(specifier)].exports].sort()]),
    ),
    modules,
  };
}

/** Orders outputs so that each comes after those that it imports. */
function inOrder(outputs) {
  const ordered = new Set();
  const visiting = new Set();
  const visit = (name) => {
    if (ordered.has(name)) return;
    // A blob URL is known only after its code: modules that import each other have no order.
    if (visiting.has(name))
      throw new Error(`Expected bundled modules without a cycle, got ${[...visiting, name].join(' → ')}`);
    visiting.add(name);
    for (const { path: imported, kind, external } of outputs[name].imports) {
      if (kind === 'import-statement' && !external) visit(imported);
    }
    visiting.delete(name);
    ordered.add(name);
  };
  for (const name of Object.keys(outputs)) visit(name);
  return [...ordered];
}

/** Bundles a script into one text. */
async function bundleScript(file, format) {
  const { outputFiles } = await build({
    ...COMMON,
    format,
    minifyIdentifiers: true,
    // The timers of Node, which the fake ones ask for only there.
    external: ['util', 'timers', 'timers/promises'],
    entryPoints: [path.join(site, 'playground', file)],
  });
  return outputFiles[0].text;
}

/** Writes the file. Returns its path and size. */
export async function writeModules() {
  const [bundled, worker, frame] = await Promise.all([
    bundleModules(),
    bundleScript('worker.ts', 'iife'),
    bundleScript('frame.ts', 'iife'),
  ]);
  const text = JSON.stringify({ ...bundled, worker, frame });
  await mkdir(path.dirname(OUTPUT), { recursive: true });
  await writeFile(OUTPUT, text);
  return { file: OUTPUT, size: text.length };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { file, size } = await writeModules();
  console.log(`wrote ${path.relative(process.cwd(), file)} (${Math.ceil(size / 1000)} kB)`);
}
