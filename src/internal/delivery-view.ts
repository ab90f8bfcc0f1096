import type {
  ConsumerGroup,
  Delivery,
  DeliveryOf,
  MessageHeaders,
  NackOptions,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../backend.js';
import {
  deliveryRecord,
  GROUP,
  groupOf,
  inspectCustom,
  notedRejection,
  noteRejection,
  QUARANTINE,
  type Quarantinable,
  quarantine,
  REJECTION,
  rejectionOf,
  STORED,
  storedOf,
  type TellsGroup,
  type TellsRejection,
  type TellsStored,
} from './delivery-symbols.js';
import { describe, kindOf } from './describe.js';
import { INTERCEPTION, type Interception, interceptionOf } from './interception.js';

/** What a view shows instead of the fields of its delivery. Default: nothing. */
export interface DeliveryChanges<Payload extends QueuePayload = QueuePayload> {
  readonly payload?: Payload | undefined;
  readonly headers?: MessageHeaders | undefined;
}

/**
 * Returns a view of a delivery with another payload or other headers. To settle the view is to
 * settle the delivery.
 *
 * *When to use*: in the `deliver` of an interceptor, to decrypt or convert what consumers get. A
 * copy such as `{ ...delivery, payload }` lacks the fields that a delivery computes.
 *
 * *Gotchas*: `handle` dead-letters the message as it is stored, with the payload and the headers of
 * the delivery behind all views.
 * @throws {TypeError} if the delivery is none, such as a copy, or the payload is no object
 */
export function viewDelivery<Item extends Delivery, Payload extends QueuePayload = Item['payload']>(
  delivery: Item,
  changes: DeliveryChanges<Payload>,
): DeliveryOf<Item['key'], Payload> {
  if (typeof (delivery as Partial<Delivery> | undefined)?.ack !== 'function')
    throw new TypeError(`Expected \`delivery\` to be a delivery, got ${describe(delivery)}`);
  const { payload } = changes;
  if (payload !== undefined && (typeof payload !== 'object' || payload === null))
    throw new TypeError(`Expected \`payload\` to be an object, got ${kindOf(payload)}`);
  return new DeliveryView(delivery, changes) as unknown as DeliveryOf<Item['key'], Payload>;
}

class DeliveryView
  implements DeliveryOf<QueueKey, QueuePayload>, TellsGroup, TellsRejection, TellsStored, Quarantinable
{
  readonly payload: QueuePayload;
  [INTERCEPTION]?: Interception | undefined;
  readonly #delivery: Delivery;
  readonly #headers: MessageHeaders | undefined;

  constructor(delivery: Delivery, { payload = delivery.payload, headers }: DeliveryChanges) {
    this.payload = payload;
    this[INTERCEPTION] = interceptionOf(delivery);
    this.#delivery = delivery;
    this.#headers = headers;
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

  get headers(): MessageHeaders {
    return this.#headers ?? this.#delivery.headers;
  }

  get attempt(): number {
    return this.#delivery.attempt;
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
    return notedRejection(this) ?? rejectionOf(this.#delivery);
  }

  get [STORED](): Delivery {
    return storedOf(this.#delivery);
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
    // The delivery of another library does not store the reason.
    if (!this.settled) noteRejection(this, reason);
    return this.#delivery.reject(reason);
  }

  [QUARANTINE](reason: string): Promise<boolean> {
    return quarantine(this.#delivery, reason);
  }

  toJSON(): object {
    return deliveryRecord(this);
  }

  [inspectCustom](): object {
    return deliveryRecord(this);
  }
}
