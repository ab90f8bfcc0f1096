import { type BackendCapabilities, type CreateBackend, checkCapabilities, whySkipped } from './capabilities.js';
import { definitions } from './cases/index.js';
import { Scene } from './scene.js';

/** A case of the contract suite, for any runner. */
export interface ContractCase {
  /**
   * What the case checks, after the number of its rule or `admin`: `rule 6: a second settlement changes nothing and resolves to false`,
   * `admin: purge() of an empty queue resolves to 0`.
   */
  readonly name: string;
  /** The rule that the case checks, from 1 to 15. 0 for a case of the administration, `ManagedQueue`. */
  readonly rule: number;
  /** Why it is skipped; undefined if it is not. The name says it too, and `run` prints it. */
  readonly skipped: string | undefined;
  /** Makes its backends, checks them and closes them. Rejects with an AssertionError, or with what the backend threw. */
  run(): Promise<void>;
}

/**
 * What a backend has to do to be one, as a list of cases: all rules that every backend keeps, and what queues get wrong.
 *
 * *When to use*: to prove a backend, with any test runner.
 *
 * *Gotchas*: the timeout of the runner should be longer than `deadline`, so that a case can say what it waited for in vain. Cases share nothing, and may run
 * side by side. What they need beyond the contract they ask `create` for; a backend that cannot do it leaves the capability out.
 *
 * @example
 * ```ts
 * const cases = queueBackendContract(async ({ name } = {}) => new MyBackend({ name: name ?? randomUUID() }), { shared: true });
 * describe('MyBackend', () => {
 *   for (const { name, run } of cases) it(name, run);
 * });
 * ```
 * @param create makes a backend on a fresh, empty queue that nobody else uses; the suite closes it
 * @param capabilities what the backend can do, and how it behaves where backends may differ; what is left out is skipped, and each skip prints its reason
 * @throws {TypeError} for a capability that there is not, or of a value that it cannot have
 */
export function queueBackendContract(create: CreateBackend, capabilities: BackendCapabilities = {}): ContractCase[] {
  if (typeof create !== 'function')
    throw new TypeError(`Expected \`create\` to be a function that makes a backend, got ${String(create)}`);
  const checked = checkCapabilities(capabilities);
  return definitions.map(({ rule, title, requires, play }) => {
    const skipped = whySkipped(requires, checked);
    const name = `${rule === 0 ? 'admin' : `rule ${rule}`}: ${title}`;
    if (skipped === undefined) return { name, rule, skipped, run: () => new Scene(create, checked).run(play) };
    return {
      name: `${name} (skipped: ${skipped})`,
      rule,
      skipped,
      run: async () => console.log(`Skipped: ${name}, because ${skipped}`),
    };
  });
}
