import type { DeliveryOf, QueueKey, QueuePayload } from '../backend.js';

/** Returns the visible fields of a delivery, for `JSON.stringify` and the inspector. */
export function deliveryRecord(delivery: DeliveryOf<QueueKey, QueuePayload>): object {
  const { queue, id, key, payload, headers, attempt, publishedAt, settled } = delivery;
  return { queue, id, key, payload, headers, attempt, publishedAt, settled };
}

/** The method that `console.log` of Node.js calls to format an object. */
export const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom');
