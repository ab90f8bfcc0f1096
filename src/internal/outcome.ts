import type { Delivery, DeliveryOf, QueueKey, QueuePayload, Settlement } from '../backend.js';

/** A delivery of any queue, with or without typed events. */
export type AnyDelivery = DeliveryOf<QueueKey, QueuePayload>;

/** How a delivery ended. */
export type OutcomeStatus = Exclude<Settlement, false> | 'dead-lettered';

/**
 * The result of a delivery: one for each run of the handler, and one for each delivery that was
 * released or given up without a run.
 */
export interface Outcome<Item extends AnyDelivery = Delivery> {
  /**
   * `'acked'`: done. `'retried'`: it failed and is retried. `'dead-lettered'`, `'rejected'`: it was
   * given up. `'released'`: it was requeued because the consumer stopped, or because another
   * message must run alone.
   */
  readonly status: OutcomeStatus;
  readonly delivery: Item;
  /**
   * How long the handler ran, in milliseconds by the clock of `scheduler`. A handler that starts as
   * soon as another one ends includes the time of that one's `onOutcome`.
   */
  readonly duration: number;
  /**
   * The error of the handler, or the reason that it passed to `reject()`; absent if there is none.
   */
  readonly error?: unknown;
}
