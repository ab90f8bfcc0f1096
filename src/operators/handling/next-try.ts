import type {
  ConsumerGroup,
  Delivery,
  MessageHeaders,
  NackOptions,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../../backend.js';
import { deliveryRecord, inspectCustom } from '../../internal/delivery-record.js';
import { GROUP, groupOf, type TellsGroup } from '../../internal/group-of.js';
import { QUARANTINE, type Quarantinable } from '../../internal/quarantine.js';
import { REJECTION, rejectionOf, type TellsRejection } from '../../internal/rejection.js';
import type { AnyDelivery } from '../handle-options.js';

/** A delivery that is tried again where it is, seen as the next delivery of its message: with `attempt + 1`, as if it had gone back and come again. */
export function nextTry(delivery: Delivery): Delivery {
  return delivery instanceof NextTry ? delivery.next() : new NextTry(delivery, delivery.attempt + 1);
}

class NextTry implements AnyDelivery, TellsGroup, TellsRejection {
  readonly attempt: number;
  readonly #delivery: Delivery;

  constructor(delivery: Delivery, attempt: number) {
    this.#delivery = delivery;
    this.attempt = attempt;
  }

  get queue(): string {
    return this.#delivery.queue;
  }

  get id(): string {
    return this.#delivery.id;
  }

  get key(): QueueKey {
    return this.#delivery.key;
  }

  get payload(): QueuePayload {
    return this.#delivery.payload;
  }

  get headers(): MessageHeaders {
    return this.#delivery.headers;
  }

  get publishedAt(): number {
    return this.#delivery.publishedAt;
  }

  get settled(): Settlement {
    return this.#delivery.settled;
  }

  get [GROUP](): ConsumerGroup | undefined {
    return groupOf(this.#delivery);
  }

  get [REJECTION](): unknown {
    return rejectionOf(this.#delivery);
  }

  ack(): Promise<boolean> {
    return this.#delivery.ack();
  }

  nack(options?: NackOptions): Promise<boolean> {
    return this.#delivery.nack(options);
  }

  release(): Promise<boolean> {
    return this.#delivery.release();
  }

  reject(reason?: unknown): Promise<boolean> {
    return this.#delivery.reject(reason);
  }

  /** As the delivery's own engine has it, or has not. */
  get [QUARANTINE](): Quarantinable[typeof QUARANTINE] | undefined {
    const delivery = this.#delivery as Partial<Quarantinable>;
    return delivery[QUARANTINE]?.bind(delivery);
  }

  toJSON(): object {
    return deliveryRecord(this);
  }

  [inspectCustom](): object {
    return deliveryRecord(this);
  }

  next(): Delivery {
    return new NextTry(this.#delivery, this.attempt + 1);
  }
}
