import type { Delivery } from '../backend.js';

/**
 * Shared by the ESM and the CommonJS build: the queue may come from one build, `handle` from the
 * other.
 */
export const REJECTION: unique symbol = Symbol.for('sluice.v0.rejection');

/** A delivery that knows the reason of its `reject()`. */
export interface TellsRejection {
  /** Undefined if there is none. */
  readonly [REJECTION]: unknown;
}

/** The reasons of deliveries of this library. Only a `reject()` with a reason adds an entry. */
const reasons = new WeakMap<object, unknown>();

/** Stores the reason before `reject()` settles the delivery. */
export function noteRejection(delivery: object, reason: unknown): void {
  if (reason !== undefined) reasons.set(delivery, reason);
}

export function notedRejection(delivery: object): unknown {
  return reasons.get(delivery);
}

/**
 * Returns the reason of the `reject()` that settled a delivery. Undefined if there is none, or if
 * the delivery is not watched.
 */
export function rejectionOf(delivery: Delivery): unknown {
  return (delivery as Partial<TellsRejection>)[REJECTION];
}

/**
 * Makes a delivery of a third-party backend store the reason of its `reject()`. Replaces `reject`,
 * because the handler gets the delivery itself. A frozen delivery stays unchanged and stores no
 * reason.
 */
export function watchRejection(delivery: Delivery): void {
  if (!(REJECTION in delivery)) watch(delivery);
}

/**
 * Separate, so that `watchRejection` is short enough to be inlined. Deliveries of this library
 * never get here.
 */
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
