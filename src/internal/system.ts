/**
 * The symbol is registered, because the queue may come from the ESM build and its user from the
 * CommonJS build, or the reverse.
 */
export const SYSTEM: unique symbol = Symbol.for('sluice.v0.system');

/** A queue that knows the system that stores its messages. Not part of the contract. */
export interface TellsSystem {
  /** The name of the system in lower case, such as `redis`. */
  readonly [SYSTEM]: string;
}

/** Returns the system that stores the messages of a queue, or `sluice` if the queue does not tell. */
export function systemOf(queue: object): string {
  const system: unknown = (queue as Partial<TellsSystem>)[SYSTEM];
  return typeof system === 'string' && system !== '' ? system : 'sluice';
}
