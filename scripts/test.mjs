/**
 * Runs the tests in phases. The suites that start servers run side by side, since they mostly wait.
 * The suites that keep a processor busy follow. The arguments are passed to jest: `npm test --
 * spec/redis`.
 * If TEST_RESULTS is set, each phase writes its results there, as `servers.json`, `long.json` and
 * `unit.json`.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import path from 'node:path';

const cores = availableParallelism();
const phases = { servers: 2 * cores, long: cores, unit: cores };

const jest = path.join('node_modules', 'jest', 'bin', 'jest.js');
const { TEST_RESULTS: results } = process.env;

for (const [project, workers] of Object.entries(phases)) {
  const args = ['--selectProjects', project, '--maxWorkers', String(workers), '--passWithNoTests'];
  if (results !== undefined) args.push('--json', '--outputFile', path.join(results, `${project}.json`));
  const { status } = spawnSync(process.execPath, [jest, ...args, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
