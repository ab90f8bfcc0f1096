/**
 * Runs the suites of each engine against servers of other versions. Fetches the missing servers. A
 * version that cannot be fetched is skipped with its reason, and fails nothing.
 *
 *   npm run test:servers [-- [--ci | version…] [-- jest options]]
 *
 * `--ci` chooses the versions that CI tests. If TEST_RESULTS names a folder, the results of each
 * version are written there, as `servers-<version>.json`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { engines } from './lib/engines.mjs';
import { checked, fetchServer, pathWith, versions } from './servers/fetch.mjs';

const root = path.join(import.meta.dirname, '..');
const jest = path.join(root, 'node_modules/jest/bin/jest.js');

/** The engine whose suites take longest comes first. */
const longestFirst = engines.toReversed();

/**
 * Two versions at a time: suites mostly wait, and some take long, so the processors stay busy while
 * the last suite of one version ends.
 */
const AT_A_TIME = 2;

const { TEST_RESULTS: results } = process.env;

const separator = process.argv.indexOf('--');
const own = process.argv.slice(2, separator < 0 ? undefined : separator);
const jestOptions = separator < 0 ? [] : process.argv.slice(separator + 1);
const { values, positionals } = parseArgs({
  args: own,
  options: { ci: { type: 'boolean', default: false } },
  allowPositionals: true,
});

const turnOf = (name) => longestFirst.findIndex((engine) => engine.name === versions[name].engine);

const chosen = checked(positionals)
  .filter((name) => positionals.length > 0 || !values.ci || versions[name].inCi === true)
  .toSorted((one, other) => turnOf(one) - turnOf(other));

const workers = chosen.length === 1 ? 2 * availableParallelism() : availableParallelism() + 1;

const suites = readdirSync(path.join(root, 'spec'), { recursive: true })
  .filter((file) => file.endsWith('.spec.ts'))
  .map((file) => path.join('spec', file));

/**
 * Matches the suites of an engine: they call a helper named after its class or after all engines.
 * The command line uses the public API alone, so one version is enough for it.
 */
function suitesOf(engine) {
  const prefix = engines.find(({ name }) => name === engine).class.replace(/Backend$/, '');
  const helper = new RegExp(`describeWith(${prefix}|EveryEngine)`);
  const others = suites.filter((file) => !file.startsWith(path.join('spec', 'cli')));
  return others.filter((file) => helper.test(readFileSync(path.join(root, file), 'utf8')));
}

/** Tests one version. Its output is printed at the end, unless it is the only version. */
async function test(name) {
  const { engine } = versions[name];
  const { version, reason } = await fetchServer(name);
  if (version === undefined) {
    console.log(`== SKIPPED ${name}: ${reason}`);
    return;
  }
  const output = results === undefined ? [] : ['--json', '--outputFile', path.join(results, `servers-${name}.json`)];
  const args = [
    '--selectProjects',
    'servers',
    '--maxWorkers',
    String(workers),
    ...output,
    ...jestOptions,
    '--runTestsByPath',
    ...suitesOf(engine),
  ];
  const env = { ...process.env, PATH: pathWith(name), SLUICE_ENGINE: engine };
  const heading = `== ${name}: ${version}`;
  if (chosen.length === 1) console.log(heading);
  const child = spawn(process.execPath, [jest, ...args], {
    cwd: root,
    env,
    stdio: chosen.length === 1 ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  const chunks = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => chunks.push(chunk));
  const [status] = await once(child, 'close');
  if (chosen.length > 1) console.log(`${heading}\n${Buffer.concat(chunks)}`);
  if (status !== 0) process.exitCode = 1;
}

const waiting = [...chosen];

async function testNext() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await test(name);
}

await Promise.all(Array.from({ length: AT_A_TIME }, testNext));
