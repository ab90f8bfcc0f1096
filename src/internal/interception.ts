import type { Delivery } from '../backend.js';
import type { Outcome } from './outcome.js';

/** Runs around a handler. `run` starts what is inside, and resolves to the outcome of the attempt. */
export type ProcessHook = (delivery: Delivery, run: () => Promise<Outcome>) => unknown;

/** What the interceptors of a queue have to do with one of its deliveries, for `handle`. */
export interface Interception {
  /** Run around each run of the handler, the outermost first. */
  readonly processHooks: readonly ProcessHook[];
  /** The error of an interceptor: the attempt fails with it, and the handler does not run. */
  readonly failure?: { readonly error: unknown } | undefined;
}

/**
 * The symbol is registered, because the queue may come from the ESM build and `handle` from the
 * CommonJS build, or the reverse.
 */
export const INTERCEPTION: unique symbol = Symbol.for('sluice.v0.interception');

interface Intercepted {
  [INTERCEPTION]?: Interception | undefined;
}

/** Returns what interceptors have to do with a delivery. Undefined: nothing. */
export function interceptionOf(delivery: object): Interception | undefined {
  return (delivery as Intercepted)[INTERCEPTION];
}

/** Notes it on a delivery, which must be extensible. */
export function noteInterception(delivery: object, interception: Interception): void {
  (delivery as Intercepted)[INTERCEPTION] = interception;
}
