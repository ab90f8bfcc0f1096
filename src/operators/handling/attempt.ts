import type { Delivery } from '../../backend.js';
import type { HandlerContext, Outcome, OutcomeStatus } from '../handle-options.js';

export interface Failure {
  readonly error: unknown;
}

/** The attempts of one key. Only the first may run. */
export interface Lane {
  first: Attempt | undefined;
  last: Attempt | undefined;
}

/** An outcome that may still change. */
type PendingOutcome = { -readonly [Name in keyof Outcome]: Outcome[Name] };

/** One try at a delivery: the context of its handler, its place in the queue, and its result. */
export class Attempt implements HandlerContext {
  readonly delivery: Delivery;
  /** What `onOutcome` gets; undefined without an `onOutcome`, and once it was called. */
  outcome: PendingOutcome | undefined;
  failure: Failure | undefined;
  /** The value to emit downstream. */
  value: unknown;
  /** The lane that the attempt occupies; undefined without `orderBy`, and once it has left. */
  lane: Lane | undefined;
  /** The next attempt in the lane, and the next one that is ready. Both belong to the queue. */
  nextInLane: Attempt | undefined;
  nextReady: Attempt | undefined;
  #controller: AbortController | undefined;

  /** @param reported whether there is an `onOutcome` */
  constructor(delivery: Delivery, reported: boolean) {
    this.delivery = delivery;
    this.outcome = reported ? { status: 'acked', delivery, duration: 0 } : undefined;
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

  set status(status: OutcomeStatus) {
    if (this.outcome !== undefined) this.outcome.status = status;
  }

  set duration(milliseconds: number) {
    if (this.outcome !== undefined) this.outcome.duration = milliseconds;
  }

  fail(error: unknown): void {
    this.failure = { error };
    if (this.outcome !== undefined) this.outcome.error = error;
  }
}
