/**
 * Runs the tests in phases: the suites that start servers side by side, since they mostly wait;
 * then the suites that keep a processor busy. The arguments are those of jest: `npm test --
 * spec/redis`.
 *
 * With TEST_RESULTS in the environment, each phase writes its results there, as `servers.json`,
 * `long.json` and `unit.json`.
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
