/**
 * Summarises the results of `npm test` in the folder given as the first argument. Prints `PASSED
 * FAILED` on stdout. Prints the tests that failed, or passed on their second attempt, and why, on
 * stderr. More than three of the latter count as one failure.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** The maximum number of tests that need a second attempt. */
const MOST_RETRIED = 3;

/** How many lines of an error are printed. */
const LINES = 20;

const folder = process.argv[2];
const runs = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => ({ phase: path.parse(file).name, ...JSON.parse(readFileSync(path.join(folder, file), 'utf8')) }));

const sum = (count) => runs.reduce((total, run) => total + count(run), 0);
const tests = runs.flatMap(({ phase, testResults }) =>
  testResults.flatMap(({ assertionResults }) => assertionResults.map((test) => ({ phase, ...test }))),
);
const failing = tests.filter(({ status }) => status === 'failed');
const retried = tests.filter(({ status, invocations }) => status === 'passed' && invocations > 1);

function report(what, { phase, fullName }, reasons = []) {
  console.error(`${what}: ${fullName} (${phase})`);
  for (const reason of reasons) {
    const lines = stripVTControlCharacters(reason).split('\n');
    console.error(lines.slice(0, LINES).join('\n').replaceAll(/^/gm, '  '));
  }
}

for (const test of failing) report('Failed', test, test.failureMessages);
for (const test of retried) report('Passed at the second attempt', test, test.retryReasons);
if (retried.length > MOST_RETRIED)
  console.error(`${retried.length} tests needed a second attempt, expected at most ${MOST_RETRIED}`);

const passed = sum(({ numPassedTests }) => numPassedTests);
// A suite that could not run has no failed test.
const failed = sum(({ numFailedTests, numRuntimeErrorTestSuites }) => numFailedTests + numRuntimeErrorTestSuites);
console.log(passed, failed + (retried.length > MOST_RETRIED ? 1 : 0));
