/**
 * Sums up the results of `npm test` in the folder that is the first argument: prints `PASSED FAILED` on stdout, and on stderr the tests that passed at
 * their second attempt. More than three of these in one run count as one failure.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** How many tests of a run may need a second attempt. */
const MOST_RETRIED = 3;

const folder = process.argv[2];
const runs = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8')));

const sum = (count) => runs.reduce((total, run) => total + count(run), 0);

/** The tests of a run that passed at their second attempt. */
const retriedIn = ({ testResults }) =>
  testResults.flatMap(({ assertionResults }) => assertionResults).filter(({ status, invocations }) => status === 'passed' && invocations > 1);

const passed = sum(({ numPassedTests }) => numPassedTests);
// A suite that could not run has no test that failed.
let failed = sum(({ numFailedTests, numRuntimeErrorTestSuites }) => numFailedTests + numRuntimeErrorTestSuites);

for (const retried of runs.map(retriedIn)) {
  for (const { fullName } of retried) console.error(`Passed at the second attempt: ${fullName}`);
  if (retried.length <= MOST_RETRIED) continue;
  console.error(`${retried.length} tests needed a second attempt, expected at most ${MOST_RETRIED}`);
  failed += 1;
}

console.log(passed, failed);
