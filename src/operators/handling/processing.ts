import { SluiceError } from '../../errors.js';
import { logFailure } from '../../internal/delivery-log.js';
import type { ProcessHook } from '../../internal/interception.js';
import type { Logger } from '../../internal/logger.js';
import type { Outcome } from '../../internal/outcome.js';
import type { Attempt, Failure } from './attempt.js';

/** Runs the handler of an attempt. */
export interface AttemptRunner {
  readonly logger: Logger;
  /**
   * Whether the attempt may go on to its handler. Ends it if the consumer has stopped, or the queue
   * has taken the message back.
   */
  admits(attempt: Attempt): boolean;
  startHandler(attempt: Attempt): void;
  /**
   * Ends the attempt: an interceptor has failed, or has settled the delivery instead of running the
   * handler. Returns false if it is too late.
   */
  endAttempt(attempt: Attempt, failure: Failure | undefined): boolean;
}

/**
 * Runs the `process` of the interceptors of an attempt around its handler, the first outermost.
 * `run` of each one starts the next one, and the last one starts the handler.
 */
export class Processing {
  readonly #attempt: Attempt;
  readonly #hooks: readonly ProcessHook[];
  readonly #runner: AttemptRunner;
  #resolve!: (outcome: Outcome) => void;
  #outcome: Outcome | undefined;
  /** The promise of every `run`. */
  readonly #outcomes = new Promise<Outcome>((resolve) => {
    this.#resolve = resolve;
  });

  constructor(attempt: Attempt, hooks: readonly ProcessHook[], runner: AttemptRunner) {
    this.#attempt = attempt;
    this.#hooks = hooks;
    this.#runner = runner;
  }

  /** Enters an interceptor, or starts the handler after the last one. */
  enter(depth: number): void {
    const hook = this.#hooks[depth];
    if (hook === undefined) {
      this.#runner.startHandler(this.#attempt);
      return;
    }
    let entered = false;
    const run = (): Promise<Outcome> => {
      if (entered) throw new SluiceError('An interceptor called `run` twice for one attempt: the handler runs once');
      entered = true;
      // An attempt that has ended, by its timeout for instance, is not processed any further.
      if (this.#runner.admits(this.#attempt)) this.enter(depth + 1);
      return this.#outcomes;
    };
    let answer: unknown;
    try {
      answer = hook(this.#attempt.delivery, run);
    } catch (error) {
      this.#failed(error);
      return;
    }
    // The common `return run()` needs no second promise.
    if (answer !== this.#outcomes) void this.#watch(answer, () => entered);
  }

  /** The attempt has its outcome. */
  report(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#resolve(outcome);
  }

  async #watch(answer: unknown, entered: () => boolean): Promise<void> {
    try {
      await answer;
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (entered()) return;
    const error = new SluiceError('`process` of an interceptor neither called `run` nor settled the delivery');
    this.#runner.endAttempt(this.#attempt, this.#attempt.delivery.settled ? undefined : { error });
  }

  #failed(error: unknown): void {
    // An interceptor may throw the error of the outcome again.
    if (this.#runner.endAttempt(this.#attempt, { error }) || error === this.#outcome?.error) return;
    const next = `the outcome is ${this.#outcome?.status ?? 'already decided'}`;
    const { logger } = this.#runner;
    logFailure(logger, 'error', '`process` of an interceptor failed', this.#attempt.delivery, error, next);
  }
}
