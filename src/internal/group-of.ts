import type { ConsumerGroup, Delivery } from '../backend.js';

/** One symbol for the ESM and the CommonJS build: the queue may come from the one, `handle` from the other. */
export const GROUP: unique symbol = Symbol.for('sluice.v0.group');

/** A delivery that tells which group it was delivered to. Not part of the contract. */
export interface TellsGroup {
  readonly [GROUP]: ConsumerGroup | undefined;
}

/** The group that a delivery was delivered to; undefined if its backend does not tell. */
export function groupOf(delivery: Delivery): ConsumerGroup | undefined {
  return (delivery as Partial<TellsGroup>)[GROUP];
}
