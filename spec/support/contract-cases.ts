import type { ContractCase } from 'sluice/testing';

/** The deadline of each wait of a case, in milliseconds: long enough for a busy machine. */
export const CONTRACT_DEADLINE = 30_000;

/**
 * The deadline of a publish's confirm, in milliseconds: a case may wait that long for many
 * publishes.
 */
export const CONTRACT_PUBLISH_TIMEOUT = 3 * CONTRACT_DEADLINE;

/** A case takes at most six times the deadline, and then says what it waited for. */
const TIMEOUT = 6 * CONTRACT_DEADLINE + 10_000;

/**
 * Runs each case of the contract as a test. A skipped case logs its reason, since some runners do
 * not print skipped tests.
 */
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
