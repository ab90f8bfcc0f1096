import type { Delivery } from '../../backend.js';
import { answerTo } from '../../internal/answers.js';
import { describe, describeError } from '../../internal/describe.js';
import type { LogDetails, Logger } from '../../internal/logger.js';
import { isMilliseconds } from '../../internal/options.js';
import { rejectionOf } from '../../internal/rejection.js';
import type { AnyDelivery, CheckedHandleOptions } from '../handle-options.js';

/** The delay before a retry where `retry.delay` fails to say one, in milliseconds. */
const FALLBACK_DELAY = 1000;

/** Logs what failed for a delivery, and what happens next; never the payload. */
export function logFailure(
  logger: Logger,
  level: 'warn' | 'error',
  what: string,
  delivery: AnyDelivery,
  error: unknown,
  next: string,
): void {
  logger[level](`${what}: ${nameOf(delivery)}: ${describeError(error)}; ${next}`, { ...fieldsOf(delivery), error });
}

/** Warns if a handler rejected its delivery by hand, since the message is gone. Returns the reason as its error; undefined if there is none. */
export function tellRejection(logger: Logger, delivery: AnyDelivery): { readonly error: unknown } | undefined {
  if (delivery.settled !== 'rejected') return undefined;
  const error = rejectionOf(delivery);
  const reason = error === undefined ? 'it gave no reason' : describeError(error);
  const failure = error === undefined ? undefined : { error };
  logger.warn(`A handler rejected its message: ${nameOf(delivery)}: ${reason}; it is not delivered again`, {
    ...fieldsOf(delivery),
    ...failure,
  });
  return failure;
}

/** What follows from the failure of a handler that had settled its delivery by hand. */
export function nothingFollows(delivery: AnyDelivery): string {
  const { settled } = delivery;
  const reason = settled === 'rejected' ? rejectionOf(delivery) : undefined;
  return `nothing follows, its delivery is ${settled} already${reason === undefined ? '' : ` (${describeError(reason)})`}`;
}

/** Releases a delivery that nobody has settled, and waits for nothing. */
export function giveBack(delivery: AnyDelivery, logger: Logger): void {
  if (delivery.settled) return;
  answerTo(() => delivery.release()).catch((error: unknown) => {
    logFailure(
      logger,
      'error',
      'The release() of a delivery failed',
      delivery,
      error,
      'its message will be delivered again',
    );
  });
}

/** How long to wait before a retry, in milliseconds. */
export function retryDelay(
  options: CheckedHandleOptions,
  delivery: Delivery,
  error: unknown,
  retryCount: number,
): number {
  let problem: string;
  try {
    const delay: unknown = options.retryDelay(error, retryCount, delivery);
    if (isMilliseconds(delay)) return delay;
    problem = `returned ${describe(delay)}`;
  } catch (thrown) {
    problem = `threw ${describeError(thrown)}`;
  }
  options.logger.error(
    `\`retry.delay\` ${problem} for ${nameOf(delivery)}, where a number of milliseconds was expected: ${FALLBACK_DELAY} is taken instead`,
    fieldsOf(delivery),
  );
  return FALLBACK_DELAY;
}

/** Names a delivery in a log line. */
export function nameOf({ id, key, queue, attempt }: AnyDelivery): string {
  return `delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)}, attempt ${attempt}`;
}

/** Returns the fields of a delivery for the details of a log line. */
export function fieldsOf({ id, key, queue, attempt }: AnyDelivery): LogDetails {
  return { queue, key, id, attempt };
}
