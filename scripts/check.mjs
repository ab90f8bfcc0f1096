/**
 * Runs all checks except the tests, even if one fails. `npm run check -- types` runs the checks
 * whose name contains `types`.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';

const bin = (name) => path.join('node_modules', '.bin', name);

/**
 * The path of the compiler. npm may link `.bin/tsc` to `typescript-minimum`, whose command has the
 * same name.
 */
const tsc = path.join('node_modules', 'typescript', 'bin', 'tsc');

/** The checks in order: those after the build use its output. */
const gates = [
  ['format and lint', bin('biome'), 'check', '--error-on-warnings'],
  ['types', process.execPath, tsc, '--noEmit'],
  ['types without node', process.execPath, tsc, '--noEmit', '--project', 'tsconfig.browser.json'],
  ['imports', bin('depcruise'), 'src', '--config', '.dependency-cruiser.cjs'],
  ['engines', process.execPath, 'scripts/check-engines.mjs'],
  ['file length', process.execPath, 'scripts/check-file-length.mjs'],
  ['unused code', bin('knip')],
  ['build', bin('rollup'), '--config', 'rollup.config.mjs', '--failAfterWarnings'],
  ['package', bin('publint'), '--strict'],
  ['package types', bin('attw'), '--pack', '.', '--profile', 'strict'],
  ['browser bundle', process.execPath, 'scripts/check-browser-bundle.mjs'],
];

/** Skips the scripts of the package: packing must not build again. */
const env = { ...process.env, npm_config_ignore_scripts: 'true' };

function run(command, args) {
  return new Promise((resolve) => {
    const chunks = [];
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    const finish = (passed) => resolve({ passed, output: Buffer.concat(chunks).toString().trimEnd() });
    child.on('error', (error) => {
      chunks.push(Buffer.from(String(error)));
      finish(false);
    });
    child.on('close', (code) => finish(code === 0));
  });
}

const wanted = process.argv[2] ?? '';
const counts = { passed: 0, failed: 0 };

for (const [name, command, ...args] of gates.filter(([name]) => name.includes(wanted))) {
  const start = performance.now();
  const { passed, output } = await run(command, args);
  if (passed) {
    console.log(`ok  ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    counts.passed += 1;
  } else {
    console.log(`${output}\nFAILED  ${name}`);
    counts.failed += 1;
  }
}

console.log(`${counts.passed} passed, ${counts.failed} failed`);
if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
