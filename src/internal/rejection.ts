import type { Delivery } from '../backend.js';

/** One symbol for the ESM and the CommonJS build: the queue may come from the one, `handle` from the other. */
export const REJECTION: unique symbol = Symbol.for('sluice.v0.rejection');

/** A delivery that tells the reason of its `reject()`. */
export interface TellsRejection {
  /** The reason of the `reject()` that settled it; undefined if there is none. */
  readonly [REJECTION]: unknown;
}

/** The reasons of the deliveries of this library. Only a `reject()` with a reason costs an entry. */
const reasons = new WeakMap<object, unknown>();

/** Notes the reason of a delivery that `reject()` is about to settle. */
export function noteRejection(delivery: object, reason: unknown): void {
  if (reason !== undefined) reasons.set(delivery, reason);
}

/** The reason that was noted for a delivery. */
export function notedRejection(delivery: object): unknown {
  return reasons.get(delivery);
}

/** The reason of the `reject()` that settled a delivery; undefined if there is none, or if it was not watched. */
export function rejectionOf(delivery: Delivery): unknown {
  return (delivery as Partial<TellsRejection>)[REJECTION];
}

/**
 * Makes a delivery tell the reason of its `reject()`, if it does not: one of a backend of a third party. The handler gets the delivery itself, so its
 * `reject` is replaced. A frozen delivery stays as it is, and tells no reason.
 */
export function watchRejection(delivery: Delivery): void {
  if (!(REJECTION in delivery)) watch(delivery);
}

/** Apart, since the deliveries of this library never come here: a function that is short is inlined. */
function watch(delivery: Delivery): void {
  const { reject } = delivery;
  if (
    typeof reject !== 'function' ||
    !Reflect.defineProperty(delivery, REJECTION, { get: () => notedRejection(delivery) })
  )
    return;
  const enumerable = Object.getOwnPropertyDescriptor(delivery, 'reject')?.enumerable ?? false;
  const value = (reason?: unknown): Promise<boolean> => {
    if (!delivery.settled) noteRejection(delivery, reason);
    return reject.call(delivery, reason);
  };
  Reflect.defineProperty(delivery, 'reject', { value, enumerable, writable: true, configurable: true });
}
