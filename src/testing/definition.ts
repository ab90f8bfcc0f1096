import type { Requirements } from './capabilities.js';
import type { CaseContext } from './case-context.js';

export type RunCase = (t: CaseContext) => Promise<void>;

/** A case of the contract, for any backend. */
export interface Definition {
  /** The rule that the case checks, from 1 to 15. 0 for a case of the administration. */
  readonly rule: number;
  readonly title: string;
  readonly requires: Requirements;
  readonly run: RunCase;
}

/** Defines a case of the administration (`ManagedQueue`). */
export function admin(title: string, requires: Requirements, run: RunCase): Definition {
  return { rule: 0, title, requires: { managed: true, ...requires }, run };
}

/** Defines a case of a rule. */
export function rule(
  number: number,
  title: string,
  ...rest: [run: RunCase] | [requires: Requirements, run: RunCase]
): Definition {
  const [requires, run] = rest.length === 1 ? [{}, rest[0]] : rest;
  return { rule: number, title, requires, run };
}
