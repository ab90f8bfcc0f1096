import { SluiceError } from '../../errors.js';
import { logFailure } from '../../internal/delivery-log.js';
import type { ProcessHook } from '../../internal/interception.js';
import type { Logger } from '../../internal/logger.js';
import type { Outcome } from '../../internal/outcome.js';
import type { Attempt, Failure } from './attempt.js';

export interface ProcessingOptions {
  /** Starts the handler, unless the attempt is over. */
  readonly start: () => void;
  /**
   * Ends the attempt: an interceptor has failed, or has settled the delivery instead of running the
   * handler. Returns false if it is too late.
   */
  readonly end: (failure: Failure | undefined) => boolean;
  readonly logger: Logger;
}

/**
 * Runs the `process` of the interceptors of an attempt around its handler, the first outermost.
 * `run` of each one starts the next one, and the last one starts the handler.
 */
export function processAttempt(attempt: Attempt, hooks: readonly ProcessHook[], options: ProcessingOptions): void {
  const { delivery } = attempt;
  let outcome: Outcome | undefined;
  const outcomes = new Promise<Outcome>((resolve) => {
    attempt.onOutcome = (reported) => {
      outcome = reported;
      resolve(reported);
    };
  });
  const failed = (error: unknown): void => {
    // An interceptor may throw the error of the outcome again.
    if (options.end({ error }) || error === outcome?.error) return;
    const next = `the outcome is ${outcome?.status ?? 'already decided'}`;
    logFailure(options.logger, 'error', '`process` of an interceptor failed', delivery, error, next);
  };
  const enter = (hook: ProcessHook | undefined, depth: number): void => {
    if (hook === undefined) {
      options.start();
      return;
    }
    let entered = false;
    const run = (): Promise<Outcome> => {
      if (entered) throw new SluiceError('An interceptor called `run` twice for one attempt: the handler runs once');
      entered = true;
      enter(hooks[depth + 1], depth + 1);
      return outcomes;
    };
    const left = (): void => {
      if (entered) return;
      const error = new SluiceError(
        '`process` of an interceptor has ended, but it neither called `run` nor settled the delivery',
      );
      options.end(delivery.settled ? undefined : { error });
    };
    try {
      Promise.resolve(hook(delivery, run)).then(left, failed);
    } catch (error) {
      failed(error);
    }
  };
  enter(hooks[0], 0);
}
