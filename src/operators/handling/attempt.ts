import type { Delivery } from '../../backend.js';
import type { Outcome, OutcomeStatus } from '../../internal/outcome.js';
import type { HandlerContext } from '../handle-options.js';

export interface Failure {
  readonly error: unknown;
}

/** The attempts of one key. Only the first may run. */
export interface Lane {
  first: Attempt | undefined;
  last: Attempt | undefined;
}

/**
 * How an attempt has ended. Its status changes if the backend says that the settlement did not
 * count.
 */
export interface Ending {
  status: OutcomeStatus;
  /** How long the handler ran, in milliseconds. */
  readonly duration: number;
  failure?: Failure | undefined;
  /** What the handler returned. It is emitted if the settlement counts. */
  readonly value?: unknown;
}

/** One try at a delivery: the context of its handler, and its place in the queue. */
export class Attempt implements HandlerContext {
  readonly delivery: Delivery;
  /** The lane that the attempt occupies; undefined without `orderBy`, and once it has left. */
  lane: Lane | undefined;
  /** The next attempt in the lane, and the next one that is ready. Both belong to the queue. */
  nextInLane: Attempt | undefined;
  nextReady: Attempt | undefined;
  /** Whether its outcome was reported. A retry in place reports it early. */
  reported = false;
  /** The interceptors that wait for its outcome. */
  processing: { report(outcome: Outcome): void } | undefined;
  #controller: AbortController | undefined;

  constructor(delivery: Delivery) {
    this.delivery = delivery;
  }

  get signal(): AbortSignal {
    // Made on demand: most handlers never read it, and a controller costs more than the attempt.
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }
}
