import type { ConsumerGroup, Delivery } from '../backend.js';

/**
 * Shared by the ESM and the CommonJS build: the queue may come from one build, `handle` from the
 * other.
 */
export const GROUP: unique symbol = Symbol.for('sluice.v0.group');

/** A delivery that knows its group. Not part of the contract. */
export interface TellsGroup {
  readonly [GROUP]: ConsumerGroup | undefined;
}

/** Returns the group of a delivery. Undefined if the backend does not tell. */
export function groupOf(delivery: Delivery): ConsumerGroup | undefined {
  return (delivery as Partial<TellsGroup>)[GROUP];
}
