import type { ConsumerGroup, Delivery, DeliveryOf, QueueKey, QueuePayload } from '../backend.js';
import { metadataOf } from './metadata.js';

// Hidden members of deliveries. Their symbols are registered, because the queue may come from the
// ESM build and `handle` from the CommonJS build, or the reverse.

export const GROUP: unique symbol = Symbol.for('sluice.v0.group');

/** A delivery that knows its group. Not part of the contract. */
export interface TellsGroup {
  readonly [GROUP]: ConsumerGroup | undefined;
}

/** Returns the group of a delivery. Undefined if the backend does not tell. */
export function groupOf(delivery: Delivery): ConsumerGroup | undefined {
  return (delivery as Partial<TellsGroup>)[GROUP];
}

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

export const QUARANTINE: unique symbol = Symbol.for('sluice.v0.quarantine');

/**
 * A delivery whose engine can quarantine its message: keep it as it was stored, outside the queue,
 * for inspection.
 */
export interface Quarantinable {
  /**
   * Quarantines the message and settles the delivery as rejected. The engine logs an error that
   * names the place. Resolves to whether it counted.
   * @param reason is stored with the message
   */
  [QUARANTINE](reason: string): Promise<boolean>;
}

/** Quarantines the message of a delivery; rejects the delivery if its engine has no quarantine. */
export function quarantine(delivery: Delivery, reason: string): Promise<boolean> {
  return isQuarantinable(delivery) ? delivery[QUARANTINE](reason) : delivery.reject(reason);
}

export function isQuarantinable(delivery: Delivery): delivery is Delivery & Quarantinable {
  return typeof (delivery as Partial<Quarantinable>)[QUARANTINE] === 'function';
}

export const STORED: unique symbol = Symbol.for('sluice.v0.stored');

/** A view of a delivery, which knows the delivery behind all views. */
export interface TellsStored {
  readonly [STORED]: Delivery;
}

/** Returns the delivery behind all views: its payload and headers are those that are stored. */
export function storedOf(delivery: Delivery): Delivery {
  return (delivery as Partial<TellsStored>)[STORED] ?? delivery;
}

/** Returns the visible fields of a delivery, for `JSON.stringify` and the inspector. */
export function deliveryRecord(delivery: DeliveryOf<QueueKey, QueuePayload>): object {
  const { queue, id, key, payload, attempt, publishedAt, settled } = delivery;
  return { queue, id, key, payload, ...metadataOf(delivery), attempt, publishedAt, settled };
}

/** The method that `console.log` of Node.js calls to format an object. */
export const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom');
