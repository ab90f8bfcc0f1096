import { SluiceError } from '../../errors.js';
import { rejectionOf } from '../../internal/delivery-symbols.js';
import { describeError } from '../../internal/describe.js';
import type { LogDetails, Logger } from '../../internal/logger.js';
import type { AnyDelivery, CheckedHandleOptions } from '../handle-options.js';
import type { Failure } from './attempt.js';

/** How many deliveries beyond `retry.count` are reported. */
const MANY = 20;

/** How many reported messages are remembered. */
const MOST_REPORTED = 1000;

/** Logs a failure that concerns a delivery, and its consequence. Never logs the payload. */
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

/**
 * Warns if a handler rejected its delivery by hand, because the message is lost.
 * Returns the reason as a failure; undefined if there is none.
 */
export function logRejection(logger: Logger, delivery: AnyDelivery): Failure | undefined {
  if (delivery.settled !== 'rejected') return undefined;
  const error = rejectionOf(delivery);
  const reason = error === undefined ? 'it gave no reason' : describeError(error);
  const failure = error === undefined ? undefined : { error };
  logger.warn(`A handler rejected its message: ${nameOf(delivery)}: ${reason}; it is not redelivered`, {
    ...fieldsOf(delivery),
    ...failure,
  });
  return failure;
}

/** Describes how a handler settled its delivery by hand before it failed. */
export function describeSettled(delivery: AnyDelivery): string {
  const { settled } = delivery;
  const reason = settled === 'rejected' ? rejectionOf(delivery) : undefined;
  return `its delivery was already ${settled}${reason === undefined ? '' : ` (${describeError(reason)})`}`;
}

/** Returns the error of a delivery beyond the `deliveryLimit`. */
export function tooManyDeliveries({ attempt }: AnyDelivery, limit: number): SluiceError {
  return new SluiceError(`Delivered ${attempt} times, more often than the \`deliveryLimit\` of ${limit} allows`);
}

/** Names a delivery in a log line. */
export function nameOf({ id, key, queue, attempt }: AnyDelivery): string {
  return `delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)}, attempt ${attempt}`;
}

/** Returns the fields of a delivery for the details of a log line. */
export function fieldsOf({ id, key, queue, attempt }: AnyDelivery): LogDetails {
  return { queue, key, id, attempt };
}

/** Warns once of each message that was delivered far more often than its retries explain. */
export class ManyDeliveriesWarning {
  readonly #options: CheckedHandleOptions;
  readonly #reported = new Set<string>();

  constructor(options: CheckedHandleOptions) {
    this.#options = options;
  }

  check(delivery: AnyDelivery): void {
    if (delivery.attempt > this.#options.retryCount + MANY && !this.#reported.has(delivery.id)) this.#warn(delivery);
  }

  #warn(delivery: AnyDelivery): void {
    const { deliveryLimit, retryCount, logger } = this.#options;
    if (this.#reported.size >= MOST_REPORTED) this.#reported.clear();
    this.#reported.add(delivery.id);
    const advice =
      deliveryLimit === Number.POSITIVE_INFINITY
        ? `If its handler ends the process, set \`deliveryLimit\` to at least ${retryCount + 1}: a message that is delivered more often is given up`
        : `It is given up after the \`deliveryLimit\` of ${deliveryLimit}`;
    logger.warn(
      `Delivered more often than \`retry.count\` + ${MANY}: ${nameOf(delivery)}. ${advice}`,
      fieldsOf(delivery),
    );
  }
}
