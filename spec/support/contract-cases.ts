import type { ContractCase } from 'sluice/testing';

/** A test for each case of the contract. What is skipped says why, also where the runner does not print the names of its tests. */
export function testEach(cases: readonly ContractCase[], timeout?: number): void {
  for (const { name, run, skipped } of cases) {
    if (skipped === undefined) {
      it(name, run, timeout);
    } else {
      process.stdout.write(`${name}\n`);
      it.skip(name, run);
    }
  }
}
