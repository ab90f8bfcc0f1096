import { type BackendCapabilities, type CreateBackend, checkCapabilities, whySkipped } from './capabilities.js';
import { CaseContext } from './case-context.js';
import { definitions } from './cases/index.js';

/** A case of the contract suite, for any test runner. */
export interface ContractCase {
  /**
   * What the case checks, after the number of its rule or `admin`: `rule 6: a second settlement
   * changes nothing and resolves to false`, `admin: purge() of an empty queue resolves to 0`.
   */
  readonly name: string;
  /**
   * The rule that the case checks, from 1 to 15. 0 for a case of the administration,
   * `ManagedQueue`.
   */
  readonly rule: number;
  /**
   * Why the case is skipped. Undefined if it is not. The name includes the reason, and `run` prints
   * it.
   */
  readonly skipped: string | undefined;
  /**
   * Creates backends, checks them and closes them. Rejects with an AssertionError or with an error
   * of the backend.
   */
  run(): Promise<void>;
}

/**
 * Returns the cases that check a backend against all rules of the contract.
 *
 * *When to use*: to test a backend, with any test runner.
 *
 * *Gotchas*: give the runner a longer timeout than `deadline`, so that a case can report what it
 * waited for. Cases share nothing and may run concurrently. A case passes its needs to `create`. If
 * a backend cannot meet a need, leave out the capability that promises it.
 *
 * @example
 * ```ts
 * const cases = queueBackendContract(async ({ name } = {}) => new MyBackend({ name: name ?? randomUUID() }), { shared: true });
 * describe('MyBackend', () => {
 *   for (const { name, run } of cases) it(name, run);
 * });
 * ```
 * @param create creates a backend on an empty queue of its own. The suite closes it
 * @param capabilities what the backend can do, and how it behaves where backends differ. Cases that
 * need a missing capability are skipped, and each prints its reason
 * @throws {TypeError} if a capability is unknown or has an invalid value
 */
export function queueBackendContract(create: CreateBackend, capabilities: BackendCapabilities = {}): ContractCase[] {
  if (typeof create !== 'function')
    throw new TypeError(`Expected \`create\` to be a function that creates a backend, got ${String(create)}`);
  const checked = checkCapabilities(capabilities);
  return definitions.map(({ rule, title, requires, run }) => {
    const skipped = whySkipped(requires, checked);
    const name = `${rule === 0 ? 'admin' : `rule ${rule}`}: ${title}`;
    if (skipped === undefined) return { name, rule, skipped, run: () => new CaseContext(create, checked).run(run) };
    return {
      name: `${name} (skipped: ${skipped})`,
      rule,
      skipped,
      run: async () => console.log(`Skipped: ${name}, because ${skipped}`),
    };
  });
}
