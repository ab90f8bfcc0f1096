import type { ContractCase } from 'sluice/testing';

/** For each wait of a case, in milliseconds: enough also when the machine is busy. */
export const CONTRACT_DEADLINE = 30_000;

/** For a publish to be confirmed, in milliseconds: a case waits as long for many at once. */
export const CONTRACT_PUBLISH_TIMEOUT = 3 * CONTRACT_DEADLINE;

/** A whole case takes at most six times as long, and then says what it waited for. */
const TIMEOUT = 6 * CONTRACT_DEADLINE + 10_000;

/** A test for each case of the contract. What is skipped says why, also where the runner does not print the names of its tests. */
export function testEach(cases: readonly ContractCase[]): void {
  for (const { name, run, skipped } of cases) {
    if (skipped === undefined) {
      it(name, run, TIMEOUT);
    } else {
      process.stdout.write(`${name}\n`);
      it.skip(name, run);
    }
  }
}
