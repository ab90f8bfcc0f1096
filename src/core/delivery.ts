import { unawaited } from '../internal/answers.js';
import { QUARANTINE, type Quarantinable } from '../internal/delivery-symbols.js';
import type { Metadata } from '../internal/metadata.js';
import { type BaseDeliveryOwner, type Disposition, PlainDelivery } from './base-delivery.js';
import type { Message } from './envelope.js';

/** The subscription that a delivery belongs to. */
export interface DeliveryOwner extends BaseDeliveryOwner {
  /** The longest delay that the engine accepts, in milliseconds. */
  readonly longestDelay: number;
  /** Sends the first settlement of a delivery to the engine. Resolves to whether it counted. */
  settle(delivery: DriverDelivery, disposition: Disposition): Promise<boolean>;
}

/** A delivery of a message from an engine. */
export class DriverDelivery extends PlainDelivery implements Quarantinable {
  readonly queue: string;
  readonly #owner: DeliveryOwner;
  readonly #message: Message;

  constructor(owner: DeliveryOwner, queue: string, message: Message) {
    super(message.key, message.payload);
    this.queue = queue;
    this.#owner = owner;
    this.#message = message;
  }

  get id(): string {
    return this.#message.id;
  }

  get attempt(): number {
    return this.#message.attempt;
  }

  get publishedAt(): number {
    return this.#message.publishedAt;
  }

  /** Identifies the message while it is in flight. */
  get token(): string {
    return this.#message.token ?? this.#message.id;
  }

  protected override get metadata(): Metadata {
    return this.#message;
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
