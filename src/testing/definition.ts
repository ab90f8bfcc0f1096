import type { Requirements } from './capabilities.js';
import type { Scene } from './scene.js';

export type Play = (scene: Scene) => Promise<void>;

/** A case of the contract, before it is known which backend it is for. */
export interface Definition {
  /** The rule that it checks, from 1 to 15; 0 for a case of the administration. */
  readonly rule: number;
  readonly title: string;
  readonly requires: Requirements;
  readonly play: Play;
}

/** Defines a case of the administration (`ManagedQueue`). */
export function admin(title: string, requires: Requirements, play: Play): Definition {
  return { rule: 0, title, requires: { managed: true, ...requires }, play };
}

/** Defines a case of a rule. */
export function rule(
  number: number,
  title: string,
  ...rest: [play: Play] | [requires: Requirements, play: Play]
): Definition {
  const [requires, play] = rest.length === 1 ? [{}, rest[0]] : rest;
  return { rule: number, title, requires, play };
}
