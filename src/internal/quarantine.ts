import type { Delivery } from '../backend.js';

/**
 * Shared by the ESM and the CommonJS build: the queue may come from one build, `handle` from the
 * other.
 */
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
