import type { Delivery } from '../backend.js';

/** One symbol for the ESM and the CommonJS build: the queue may come from the one, `handle` from the other. */
export const QUARANTINE: unique symbol = Symbol.for('sluice.v0.quarantine');

/** A delivery whose engine can quarantine its message: keep it as it was stored, out of the queue, for a person to look at. */
export interface Quarantinable {
  /**
   * Settles the delivery as rejected, once the message is in quarantine. The engine logs an error that says where that is. Resolves to whether it counted.
   * @param reason why, in words; it is kept beside the message
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
