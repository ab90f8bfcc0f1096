import type { Delivery } from '../../backend.js';
import { answerTo, COUNTED } from '../../internal/answers.js';
import { describeError } from '../../internal/describe.js';
import { quarantine } from '../../internal/quarantine.js';
import type { CheckedHandleOptions, OutcomeStatus } from '../handle-options.js';
import type { Attempt } from './attempt.js';
import { logFailure, tellRejection } from './failures.js';

export interface Failure {
  readonly error: unknown;
}

/** What came of an attempt. */
export interface Result {
  readonly attempt: Attempt;
  /** How it ended, if its settlement counts. */
  readonly status: OutcomeStatus;
  /** How long the handler ran, in milliseconds. */
  readonly duration: number;
  readonly failure?: Failure | undefined;
  /** What the handler returned. */
  readonly value?: unknown;
  /** Its outcome was reported before. */
  readonly reported?: boolean;
}

export interface SettlementsOwner {
  /** An attempt is done with; `value` is what flows downstream. */
  concluded(attempt: Attempt, value: unknown): void;
  /** Nothing else follows from what was concluded: what comes next may start. */
  moveOn(): void;
}

type Method = 'ack' | 'nack' | 'release' | 'reject' | 'quarantine';

/** Settles deliveries, unless somebody else has, and reports what became of them when that is certain. */
export class Settlements {
  /** How many are not answered yet. */
  pending = 0;
  readonly #owner: SettlementsOwner;
  readonly #options: CheckedHandleOptions;

  constructor(owner: SettlementsOwner, options: CheckedHandleOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  /** Acknowledges what a handler has done. It is the way of nearly every message: where the answer is there at once, nothing is made for it. */
  ack(attempt: Attempt, duration: number, value: unknown): void {
    const { settled } = attempt.delivery;
    const answer = settled ? COUNTED : ack(attempt.delivery);
    if (answer === COUNTED) {
      this.report(attempt, settled || 'acked', duration, settled ? this.#byHand(attempt) : undefined);
      this.#owner.concluded(attempt, value);
    } else this.#await({ attempt, status: 'acked', duration, value }, 'ack', answer);
  }

  settle(result: Result, method: Method, argument?: unknown): void {
    const { attempt, status, duration, failure, reported } = result;
    const { settled } = attempt.delivery;
    const answer = settled ? COUNTED : answerTo(() => settleBy(attempt.delivery, method, argument));
    if (answer === COUNTED) {
      // A handler that failed after it settled by hand has been told of.
      const outcome = failure ?? (settled ? this.#byHand(attempt) : undefined);
      if (!reported) this.report(attempt, settled || status, duration, outcome);
      this.#owner.concluded(attempt, undefined);
    } else this.#await(result, method, answer);
  }

  /** Tells whoever wants to know what became of a delivery. */
  report(attempt: Attempt, status: OutcomeStatus, duration: number, failure: Failure | undefined): void {
    const { onOutcome } = this.#options;
    if (onOutcome === undefined) return;
    const { delivery } = attempt;
    try {
      onOutcome(
        failure === undefined ? { status, delivery, duration } : { status, delivery, duration, error: failure.error },
      );
    } catch (error) {
      this.#listenerFailed(error);
    }
  }

  /** What the outcome says of a handler that settled its delivery by hand, and did not fail. */
  #byHand({ delivery }: Attempt): Failure | undefined {
    return tellRejection(this.#options.logger, delivery);
  }

  #listenerFailed(error: unknown): void {
    this.#options.logger.error(`\`onOutcome\` failed: ${describeError(error)}`, { error });
  }

  #await(result: Result, method: Method, answer: Promise<boolean>): void {
    const { attempt, status, duration, failure, value, reported } = result;
    const { delivery } = attempt;
    this.pending++;
    const conclude = (ended: OutcomeStatus, error: Failure | undefined, output: unknown) => {
      this.pending--;
      if (!reported) this.report(attempt, ended, duration, error);
      this.#owner.concluded(attempt, output);
      this.#owner.moveOn();
    };
    Promise.resolve(answer).then(
      (counted) => {
        if (counted !== false) conclude(status, failure, value);
        // It has gone to somebody else, who will say what comes of it.
        else conclude(delivery.settled || 'retried', failure, undefined);
      },
      (error: unknown) => {
        logFailure(
          this.#options.logger,
          'error',
          `The ${method}() of a delivery failed`,
          delivery,
          error,
          'its message will be delivered again',
        );
        conclude('retried', failure ?? { error }, undefined);
      },
    );
  }
}

function settleBy(delivery: Delivery, method: Method, argument: unknown): Promise<boolean> {
  return method === 'quarantine' ? quarantine(delivery, argument as string) : delivery[method](argument as never);
}

/** What a delivery answers to an acknowledgement. As `answerTo`, but without a function made for each message. */
function ack(delivery: Delivery): Promise<boolean> {
  try {
    return delivery.ack();
  } catch (error) {
    return Promise.reject(error);
  }
}
