import type { MessageHeaders } from '../backend.js';
import { unawaited } from '../internal/answers.js';
import { QUARANTINE, type Quarantinable } from '../internal/delivery-symbols.js';
import { BaseDelivery, type BaseDeliveryOwner, type Disposition } from './base-delivery.js';
import type { Message } from './envelope.js';

/** The subscription that a delivery belongs to. */
export interface DeliveryOwner extends BaseDeliveryOwner {
  /** The longest delay that the engine accepts, in milliseconds. */
  readonly longestDelay: number;
  /** Sends the first settlement of a delivery to the engine. Resolves to whether it counted. */
  settle(delivery: DriverDelivery, disposition: Disposition): Promise<boolean>;
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
    return this.quarantine(reason);
  }

  protected override send(disposition: Disposition): Promise<boolean> {
    const counted = this.#owner.settle(this, disposition);
    // A fatal error rejects the settlement. An unhandled rejection would end the process.
    unawaited(counted);
    return counted;
  }
}
