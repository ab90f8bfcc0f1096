import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../support/root.js';

const test = (fullName: string, invocations = 1) => ({ fullName, status: 'passed', invocations });

const results = (assertionResults: readonly object[], { failed = 0, broken = 0 } = {}) => ({
  numPassedTests: assertionResults.length,
  numFailedTests: failed,
  numRuntimeErrorTestSuites: broken,
  testResults: [{ assertionResults }],
});

describe('scripts/summarize-tests.mjs', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-results-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  const summaryOf = async (runs: Readonly<Record<string, object>>) => {
    for (const [name, run] of Object.entries(runs))
      await writeFile(path.join(folder, `${name}.json`), JSON.stringify(run));
    return promisify(execFile)(process.execPath, [path.join(ROOT, 'scripts/summarize-tests.mjs'), folder]);
  };

  it('adds up the phases and counts a suite that could not run as failed', async () => {
    const runs = { servers: results([test('a'), test('b')], { failed: 1 }), unit: results([test('c')], { broken: 2 }) };
    expect(await summaryOf(runs)).toEqual({ stdout: '3 3\n', stderr: '' });
  });

  it('lists the tests that needed a second attempt and accepts three of them', async () => {
    const { stdout, stderr } = await summaryOf({
      servers: results([test('a', 2), test('b'), test('c', 2)]),
      unit: results([test('d', 2)]),
    });
    expect(stdout).toBe('4 0\n');
    expect(stderr.match(/(?<=second attempt: ).*/g)).toEqual(['a (servers)', 'c (servers)', 'd (unit)']);
  });

  it('says why tests failed, or needed a second attempt', async () => {
    const { stderr } = await summaryOf({
      servers: results([
        { ...test('a', 2), retryReasons: ['\u001b[31mlate\u001b[39m\n at x'] },
        { ...test('b', 2), status: 'failed', retryReasons: ['lost'], failureMessages: ['lost again'] },
      ]),
    });
    expect(stderr).toBe(
      'Failed: b (servers)\n  lost again\nPassed at the second attempt: a (servers)\n  late\n   at x\n',
    );
  });

  it('counts a failure if more than three tests needed a second attempt', async () => {
    const { stdout, stderr } = await summaryOf({ servers: results(['a', 'b', 'c', 'd'].map((name) => test(name, 2))) });
    expect(stdout).toBe('4 1\n');
    expect(stderr).toContain('4 tests needed a second attempt, expected at most 3');
  });
});
