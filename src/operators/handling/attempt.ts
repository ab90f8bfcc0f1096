import type { Delivery } from '../../backend.js';
import type { HandlerContext } from '../handle-options.js';

/** The deliveries of one key. It belongs to the lanes. */
export interface Lane {
  /** Who may go on; undefined while nobody is in it. */
  first: Attempt | undefined;
  last: Attempt | undefined;
}

/** One try at a delivery: what its handler gets as its context, and its place in line until then. */
export class Attempt implements HandlerContext {
  readonly delivery: Delivery;
  /** Deliveries of one lane are handled one after the other; undefined where there is no order. */
  readonly lane: Lane | undefined;
  /** Who is next in the lane. It belongs to the lanes. */
  behind: Attempt | undefined;
  /** Who is next in the line for a handler. It belongs to the line. */
  following: Attempt | undefined;
  #controller: AbortController | undefined;

  constructor(delivery: Delivery, lane: Lane | undefined) {
    this.delivery = delivery;
    this.lane = lane;
  }

  get signal(): AbortSignal {
    // Most handlers never ask, and a controller costs more than all the rest.
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  /** Tells the handler that nobody waits for it any more. */
  abort(reason: unknown): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }
}
