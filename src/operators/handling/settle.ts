import type { Delivery } from '../../backend.js';
import { answerTo, COUNTED } from '../../internal/answers.js';
import { logFailure } from '../../internal/delivery-log.js';
import { quarantine } from '../../internal/delivery-symbols.js';
import { describeError } from '../../internal/describe.js';
import type { Logger } from '../../internal/logger.js';
import type { AnyDelivery, Outcome, OutcomeStatus } from '../../internal/outcome.js';
import type { CheckedHandleOptions } from '../handle-options.js';
import type { Attempt, Ending, Failure } from './attempt.js';
import { logRejection } from './delivery-log.js';

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

/** The status of an attempt after each settlement, unless another one is given. */
const STATUS: Readonly<Record<SettlementMethod, OutcomeStatus>> = {
  ack: 'acked',
  nack: 'retried',
  release: 'released',
  reject: 'rejected',
  quarantine: 'rejected',
};

/** Returns how an attempt ends whose delivery is settled by this method. */
export function endingOf(method: SettlementMethod, duration: number, failure?: Failure, value?: unknown): Ending {
  return { status: STATUS[method], duration, failure, value };
}

/** Whether the queue has taken a delivery back: it was closed, or the lease has expired. */
export function isTakenBack({ settled }: Delivery): boolean {
  return settled === 'retried' || settled === 'released';
}

/** Settles a delivery. Returns the answer of the backend; false if it was settled already. */
export function settle(delivery: Delivery, method: SettlementMethod, argument?: unknown): Promise<boolean> | false {
  if (delivery.settled) return false;
  // As `answerTo`, but without a function for each message.
  try {
    if (method === 'ack') return delivery.ack();
    return method === 'quarantine' ? quarantine(delivery, argument as string) : delivery[method](argument as never);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Corrects the ending of an attempt by the answer of the backend.
 * @param answer false: the handler had settled the delivery, or the queue had taken it back
 * @returns undefined if the ending is final. Otherwise a promise that resolves when it is, to
 * whether the settlement counted. It never rejects.
 */
export function correct(
  answer: Promise<boolean> | false,
  method: SettlementMethod,
  delivery: Delivery,
  ending: Ending,
  logger: Logger,
): Promise<boolean> | undefined {
  if (answer === COUNTED) return undefined;
  if (answer !== false) return correctLater(answer, method, delivery, ending, logger);
  ending.status = delivery.settled || ending.status;
  ending.failure ??= logRejection(logger, delivery);
  return undefined;
}

/**
 * Calls `onOutcome`, once for each attempt. Takes the parts separately, so that the common case
 * allocates nothing.
 */
export function reportOutcome(
  attempt: Attempt,
  status: OutcomeStatus,
  duration: number,
  failure: Failure | undefined,
  { onOutcome, logger }: CheckedHandleOptions,
): void {
  if ((onOutcome === undefined && attempt.processing === undefined) || attempt.reported) return;
  attempt.reported = true;
  const { delivery } = attempt;
  const outcome: Outcome =
    failure === undefined ? { status, delivery, duration } : { status, delivery, duration, ...failure };
  attempt.processing?.report(outcome);
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

async function correctLater(
  answer: Promise<boolean>,
  method: SettlementMethod,
  delivery: Delivery,
  ending: Ending,
  logger: Logger,
): Promise<boolean> {
  try {
    if ((await answer) !== false) return true;
    // Another consumer has the message now.
    ending.status = delivery.settled || 'retried';
  } catch (error) {
    logSettlementFailure(logger, method, delivery, error);
    ending.status = 'retried';
    ending.failure ??= { error };
  }
  return false;
}

function logSettlementFailure(logger: Logger, method: SettlementMethod, delivery: AnyDelivery, error: unknown): void {
  logFailure(logger, 'error', `${method}() of a delivery failed`, delivery, error, 'its message will be redelivered');
}
