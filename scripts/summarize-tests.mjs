/**
 * Summarises the results of `npm test` in the folder given as the first argument. Prints `PASSED
 * FAILED` on stdout, and the tests that passed on their second attempt on stderr. More than three
 * of these count as one failure.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The maximum number of tests that need a second attempt. */
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
// A suite that could not run has no failed test.
const failed = sum(({ numFailedTests, numRuntimeErrorTestSuites }) => numFailedTests + numRuntimeErrorTestSuites);
console.log(passed, failed + (retried.length > MOST_RETRIED ? 1 : 0));
