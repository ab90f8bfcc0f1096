import type { QueueKey, QueuePayload } from '../backend.js';
import { BaseDelivery, type BaseDeliveryOwner, type Disposition, type Settled } from '../core/base-delivery.js';
import { COUNTED } from '../internal/answers.js';
import { type Metadata, NO_METADATA } from '../internal/metadata.js';
import { idOfPlace, Message, type Publication } from './message.js';
import { type Details, publicationOf } from './message-buffer.js';
import type { MemoryQueue } from './queue.js';

/** The subscription that a delivery belongs to. */
export interface DeliveryOwner extends BaseDeliveryOwner {
  readonly queue: MemoryQueue;
  /** Takes the first settlement of a delivery. */
  settle(delivery: MemoryDelivery, disposition: Disposition): void;
}

/** A delivery of a `MemoryBackend`. It computes what few consumers read only when they read it. */
export class MemoryDelivery extends BaseDelivery {
  // Declared, not defined: a field definition would write each field twice for every message.
  declare readonly key: QueueKey;
  declare readonly payload: QueuePayload;
  /** The index in its owner's list of unsettled deliveries. */
  declare slot: number;
  #settled: BaseDelivery['settled'] = false;
  /** The queue's own payload: the consumer may have a copy. */
  readonly #stored: QueuePayload;
  readonly #owner: DeliveryOwner;
  readonly #details: Details;
  readonly #place: number;

  constructor(
    owner: DeliveryOwner,
    key: QueueKey,
    payload: QueuePayload,
    details: Details,
    place: number,
    slot: number,
  ) {
    super();
    this.key = key;
    this.payload = owner.queue.handOver(payload);
    this.slot = slot;
    this.#stored = payload;
    this.#owner = owner;
    this.#details = details;
    this.#place = place;
  }

  get queue(): string {
    return this.#owner.queue.options.name;
  }

  get id(): string {
    return this.#ownId ?? idOfPlace(this.#owner.queue.id, this.#place);
  }

  get settled(): BaseDelivery['settled'] {
    return this.#settled;
  }

  get attempt(): number {
    return typeof this.#details === 'number' ? 1 : this.#details.attempt;
  }

  get publishedAt(): number {
    return typeof this.#details === 'number' ? this.#owner.queue.publishedAt(this.#details) : this.#details.publishedAt;
  }

  get publication(): Publication | undefined {
    return publicationOf(this.#details);
  }

  /** Creates the message for its next delivery. `isCounted`: this delivery counts as an attempt. */
  toMessage(isCounted = true): Message {
    const attempt = isCounted ? this.attempt + 1 : this.attempt;
    const { key, metadata, publishedAt, publication } = this;
    const message = new Message(key, this.#stored, metadata, publishedAt, attempt, this.#ownId, publication);
    message.place = this.#place;
    return message;
  }

  get #ownId(): string | undefined {
    return typeof this.#details === 'number' ? undefined : this.#details.id;
  }

  protected override get owner(): DeliveryOwner {
    return this.#owner;
  }

  protected override get metadata(): Metadata {
    return typeof this.#details === 'number' ? NO_METADATA : this.#details.metadata;
  }

  protected override noteSettled(how: Settled): void {
    this.#settled = how;
  }

  protected override send(disposition: Disposition): Promise<boolean> {
    this.#owner.settle(this, disposition);
    return COUNTED;
  }
}
