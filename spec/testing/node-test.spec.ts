import { execFile } from 'node:child_process';
import { MemoryBackend } from 'sluice';
import { queueBackendContract } from 'sluice/testing';
import { ROOT } from '../support/root.js';

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Runs a file under node:test, with a TAP report. */
function runNodeTest(file: string): Promise<Ended> {
  // Without the variables that jest sets for its own children: node:test reads them too.
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env;
  const options = ['--import', 'tsx', '--test', '--test-reporter', 'tap', file];
  return new Promise((resolve) => {
    execFile(process.execPath, options, { cwd: ROOT, env, maxBuffer: 2 ** 24 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
    );
  });
}

function count(output: string, what: string): number {
  return Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(output)?.[1]);
}

describe('Contract suite under node:test', () => {
  it('passes every case and prints the reason of each skipped case', async () => {
    const cases = queueBackendContract(async () => new MemoryBackend(), {
      close: 'drained',
      reasons: { restart: 'there is no broker' },
    });
    const { code, output } = await runNodeTest('spec/testing/fixtures/contract.node-test.ts');
    expect([code, count(output, 'fail')]).toEqual([0, 0]);
    expect(count(output, 'pass')).toBe(cases.length);
    const skipped = cases.filter((candidate) => candidate.skipped !== undefined);
    expect(skipped.length).toBeGreaterThan(10);
    expect(output.match(/Skipped: (rule \d+|admin): .+, because .+/g)).toHaveLength(skipped.length);
    expect(output).toContain('because there is no broker');
    expect(output).toContain('because the backend does not promise `shared`');
  });
});
