/**
 * Sums up the results of `npm test` in the folder that is the first argument: prints `PASSED
 * FAILED` on stdout, and on stderr the tests that passed at their second attempt. More than three
 * of these count as one failure.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** How many tests may need a second attempt. */
const MOST_RETRIED = 3;

const folder = process.argv[2];
const runs = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8')));

const sum = (count) => runs.reduce((total, run) => total + count(run), 0);
const retried = runs
  .flatMap(({ testResults }) => testResults)
  .flatMap(({ assertionResults }) => assertionResults)
  .filter(({ status, invocations }) => status === 'passed' && invocations > 1);

for (const { fullName } of retried) console.error(`Passed at the second attempt: ${fullName}`);
if (retried.length > MOST_RETRIED)
  console.error(`${retried.length} tests needed a second attempt, expected at most ${MOST_RETRIED}`);

const passed = sum(({ numPassedTests }) => numPassedTests);
// A suite that could not run has no test that failed.
const failed = sum(({ numFailedTests, numRuntimeErrorTestSuites }) => numFailedTests + numRuntimeErrorTestSuites);
console.log(passed, failed + (retried.length > MOST_RETRIED ? 1 : 0));
