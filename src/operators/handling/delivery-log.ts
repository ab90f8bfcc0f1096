import { SluiceError } from '../../errors.js';
import { fieldsOf, nameOf } from '../../internal/delivery-log.js';
import { rejectionOf } from '../../internal/delivery-symbols.js';
import { describeError } from '../../internal/describe.js';
import type { Logger } from '../../internal/logger.js';
import type { AnyDelivery } from '../../internal/outcome.js';
import type { CheckedHandleOptions } from '../handle-options.js';
import type { Failure } from './attempt.js';

/** How many deliveries beyond `retry.count` are reported. */
const MANY = 20;

/** How many reported messages are remembered. */
const MOST_REPORTED = 1000;

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
