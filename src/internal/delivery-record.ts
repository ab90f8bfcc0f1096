import type { DeliveryOf, QueueKey, QueuePayload } from '../backend.js';

/** What there is to see of a delivery, for `JSON.stringify` and the inspector: not how it hangs together with its queue. */
export function deliveryRecord(delivery: DeliveryOf<QueueKey, QueuePayload>): object {
  const { queue, id, key, payload, headers, attempt, publishedAt, settled } = delivery;
  return { queue, id, key, payload, headers, attempt, publishedAt, settled };
}

/** The method by which Node's `console.log` asks an object how to show it. */
export const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom');
