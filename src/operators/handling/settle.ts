import type { Delivery } from '../../backend.js';
import { answerTo, COUNTED } from '../../internal/answers.js';
import { quarantine } from '../../internal/delivery-symbols.js';
import { describeError } from '../../internal/describe.js';
import type { Logger } from '../../internal/logger.js';
import type { AnyDelivery, CheckedHandleOptions, OutcomeStatus } from '../handle-options.js';
import type { Attempt } from './attempt.js';
import { logFailure, logRejection } from './delivery-log.js';

/**
 * | event                                   | settlement                                           |
 * | --------------------------------------- | ---------------------------------------------------- |
 * | handler ends                            | `ack()`                                              |
 * | handler fails, attempt <= `retry.count` | `nack({ delay })`; with `orderBy` a retry in place   |
 * | handler fails, attempt > `retry.count`  | `deadLetter`, then `ack()`; without one `reject()`   |
 * | handler throws an `UnrecoverableError`  | the same, on any attempt                             |
 * | attempt > `deliveryLimit`, not run      | the same                                             |
 * | handler settled the delivery            | none                                                 |
 * | unsubscribed while the handler runs     | `release()`                                          |
 * | stopped before the handler started      | `release()`                                          |
 */
export type SettlementMethod = 'ack' | 'nack' | 'release' | 'reject' | 'quarantine';

/**
 * Settles the delivery of an attempt, unless it is settled already, and corrects the attempt's result.
 *
 * Returns undefined if the result is final within the call; otherwise a promise of the attempt that
 * resolves when the backend has answered. The promise never rejects.
 */
export function settle(
  attempt: Attempt,
  method: SettlementMethod,
  argument: unknown,
  logger: Logger,
): Promise<Attempt> | undefined {
  const { delivery } = attempt;
  if (delivery.settled) {
    noteSettled(attempt, delivery.settled, logger);
    return undefined;
  }
  const answer = call(delivery, method, argument);
  return answer === COUNTED ? undefined : confirm(attempt, method, answer, logger);
}

/** Calls `onOutcome`, once for each attempt. */
export function reportOutcome(attempt: Attempt, { onOutcome, logger }: CheckedHandleOptions): void {
  const { outcome } = attempt;
  if (outcome === undefined) return;
  attempt.outcome = undefined;
  try {
    onOutcome?.(outcome);
  } catch (error) {
    logger.error(`\`onOutcome\` failed: ${describeError(error)}`, { error });
  }
}

/** Releases a delivery that is not settled, without waiting for the answer. */
export function releaseUnsettled(delivery: AnyDelivery, logger: Logger): void {
  if (delivery.settled) return;
  answerTo(() => delivery.release()).catch((error: unknown) =>
    logSettlementFailure(logger, 'release', delivery, error),
  );
}

/** Notes how a delivery was settled: by its handler, or by the queue that took it back. */
function noteSettled(attempt: Attempt, settled: OutcomeStatus, logger: Logger): void {
  attempt.status = settled;
  if (attempt.failure !== undefined) return;
  const rejection = logRejection(logger, attempt.delivery);
  if (rejection !== undefined) attempt.fail(rejection.error);
}

/** As `answerTo`, but without a function for each message. */
function call(delivery: Delivery, method: SettlementMethod, argument: unknown): Promise<boolean> {
  try {
    if (method === 'ack') return delivery.ack();
    return method === 'quarantine' ? quarantine(delivery, argument as string) : delivery[method](argument as never);
  } catch (error) {
    return Promise.reject(error);
  }
}

async function confirm(
  attempt: Attempt,
  method: SettlementMethod,
  answer: Promise<boolean>,
  logger: Logger,
): Promise<Attempt> {
  try {
    if ((await answer) !== false) return attempt;
    // Another consumer has the message now.
    attempt.status = attempt.delivery.settled || 'retried';
  } catch (error) {
    logSettlementFailure(logger, method, attempt.delivery, error);
    attempt.status = 'retried';
    if (attempt.failure === undefined) attempt.fail(error);
  }
  attempt.value = undefined;
  return attempt;
}

function logSettlementFailure(logger: Logger, method: SettlementMethod, delivery: AnyDelivery, error: unknown): void {
  logFailure(logger, 'error', `${method}() of a delivery failed`, delivery, error, 'its message will be redelivered');
}
