import type { Delivery } from '../../backend.js';
import type { Logger } from '../../internal/logger.js';
import { fieldsOf, nameOf } from './failures.js';

/** How many deliveries beyond its retries are told of. */
const MANY = 20;

/** How many messages it remembers to have told of. */
const MOST = 1000;

export interface OftenDeliveredOptions {
  readonly retryCount: number;
  readonly deliveryLimit: number;
  readonly logger: Logger;
}

/** Tells once of each message that was delivered far more often than it can have been retried. */
export class OftenDelivered {
  readonly #options: OftenDeliveredOptions;
  readonly #many: number;
  /** The ids of those that were told of. */
  readonly #told = new Set<string>();

  constructor(options: OftenDeliveredOptions) {
    this.#options = options;
    this.#many = options.retryCount + MANY;
  }

  look(delivery: Delivery): void {
    if (delivery.attempt > this.#many) this.#tell(delivery);
  }

  #tell(delivery: Delivery): void {
    if (this.#told.has(delivery.id)) return;
    if (this.#told.size >= MOST) this.#told.clear();
    this.#told.add(delivery.id);
    const { deliveryLimit, retryCount, logger } = this.#options;
    const advice =
      deliveryLimit === Number.POSITIVE_INFINITY
        ? `If its handler ends the process, set \`deliveryLimit\`, to at least ${retryCount + 1}: a message that was delivered more often is then given up`
        : `It is given up after the \`deliveryLimit\` of ${deliveryLimit}`;
    logger.warn(
      `Delivered more often than \`retry.count\` + ${MANY}: ${nameOf(delivery)}. ${advice}`,
      fieldsOf(delivery),
    );
  }
}
