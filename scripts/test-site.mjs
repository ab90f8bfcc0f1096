/**
 * Builds the site and runs its tests in Chromium. The arguments are passed to jest: `npm run
 * test:site -- playground`. With `--no-build` first, tests the site that is built already.
 *
 * The site is built for a base path, as a page of a project on GitHub has one, unless `SITE_BASE`
 * names another one. If TEST_RESULTS is set, the results are written there, as `site.json`.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import path from 'node:path';

const { TEST_RESULTS: results, SITE_BASE: base = '/sluice/' } = process.env;

const options = process.argv.slice(2);
const build = options[0] !== '--no-build';
if (!build) options.shift();

function run(command, ...args) {
  return spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, SITE_BASE: base } }).status === 0;
}

run(process.execPath, 'scripts/ensure-chromium.mjs');

// Without the site, all of its tests would fail for the same reason.
if (build && !run('npm', 'run', 'site')) process.exit(1);

const args = ['--selectProjects', 'site', '--maxWorkers', String(availableParallelism())];
if (results !== undefined) args.push('--json', '--outputFile', path.join(results, 'site.json'));
if (!run(process.execPath, path.join('node_modules', 'jest', 'bin', 'jest.js'), ...args, ...options))
  process.exitCode = 1;
