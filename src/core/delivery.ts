import type { MessageHeaders } from '../backend.js';
import { unawaited } from '../internal/answers.js';
import { QUARANTINE, type Quarantinable } from '../internal/delivery-symbols.js';
import { BaseDelivery, type BaseDeliveryOwner, type Settled } from './base-delivery.js';
import type { Message } from './envelope.js';

export type { Settled } from './base-delivery.js';

/** The subscription that a delivery belongs to. */
export interface DeliveryOwner extends BaseDeliveryOwner {
  /** The longest delay that the engine accepts, in milliseconds. */
  readonly longestDelay: number;
  /**
   * Sends the first settlement of a delivery to the engine. Resolves to whether it counted.
   * @param delay in milliseconds, for `'retried'`
   * @param quarantine why the message goes to quarantine, for `'rejected'`. Undefined: it does not
   */
  settle(delivery: DriverDelivery, how: Settled, delay: number, quarantine?: string): Promise<boolean>;
}

/** A delivery of a message from an engine. */
export class DriverDelivery extends BaseDelivery implements Quarantinable {
  readonly queue: string;
  readonly id: string;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
  /** Identifies the message while it is in flight. */
  readonly token: string;
  readonly #owner: DeliveryOwner;

  constructor(owner: DeliveryOwner, queue: string, message: Message) {
    const { id, token = id, key, payload, headers, attempt, publishedAt } = message;
    super(key, payload);
    this.queue = queue;
    this.id = id;
    this.headers = headers;
    this.attempt = attempt;
    this.publishedAt = publishedAt;
    this.token = token;
    this.#owner = owner;
  }

  protected override get owner(): DeliveryOwner {
    return this.#owner;
  }

  [QUARANTINE](reason: string): Promise<boolean> {
    return this.settle('rejected', 'reject', 0, reason);
  }

  protected override send(how: Settled, delay: number, quarantine?: string): Promise<boolean> {
    const counted = this.#owner.settle(this, how, delay, quarantine);
    // A fatal error rejects the settlement. An unhandled rejection would end the process.
    unawaited(counted);
    return counted;
  }
}
