import type {
  ConsumerGroup,
  DeliveryOf,
  MessageHeaders,
  NackOptions,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../backend.js';
import { COUNTED, NOT_COUNTED } from '../internal/answers.js';
import { deliveryRecord, inspectCustom } from '../internal/delivery-record.js';
import { GROUP, type TellsGroup } from '../internal/group-of.js';
import { NO_HEADERS } from '../internal/message.js';
import { checkMilliseconds, checkOptions } from '../internal/options.js';
import { notedRejection, noteRejection, REJECTION, type TellsRejection } from '../internal/rejection.js';
import { Message, type Publication } from './message.js';
import { type Details, publicationOf } from './message-buffer.js';

export type Settled = Exclude<Settlement, false>;

/** Who lent a delivery, and takes its settlement. */
export interface Lender {
  readonly queueName: string;
  /** The group that its consumer named. */
  readonly groupName: ConsumerGroup;
  /** Names the queue among all that there are and were. */
  readonly queueId: string;
  /** What the holder gets of a payload that the queue keeps. */
  handOver(payload: QueuePayload): QueuePayload;
  /** A time that was kept relative to the making of the queue, in milliseconds since the epoch. */
  publishedAt(relative: number): number;
  /** The first settlement of a delivery that is out; `delay` in milliseconds, for `'retried'`. */
  settle(delivery: MemoryDelivery, how: Settled, delay: number): void;
  /** It is about to be settled as rejected, for a reason if one was given. */
  rejected(delivery: MemoryDelivery, reason: unknown): void;
  /** One more settlement, of a delivery that is settled already. */
  settledAgain(delivery: MemoryDelivery, call: string): void;
}

/** A message on loan from a `MemoryBackend`. What most consumers never ask for is computed when they do. */
export class MemoryDelivery implements DeliveryOf<QueueKey, QueuePayload>, TellsGroup, TellsRejection {
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  /** Where its holder keeps it. */
  slot: number;
  /** As the queue keeps it: the holder may have a copy. */
  readonly #kept: QueuePayload;
  readonly #lender: Lender;
  readonly #details: Details;
  readonly #place: number;
  #settled: Settlement = false;

  constructor(lender: Lender, key: QueueKey, payload: QueuePayload, details: Details, place: number, slot: number) {
    this.key = key;
    this.payload = lender.handOver(payload);
    this.#kept = payload;
    this.slot = slot;
    this.#lender = lender;
    this.#details = details;
    this.#place = place;
  }

  get queue(): string {
    return this.#lender.queueName;
  }

  get id(): string {
    return `${this.#lender.queueId}-${this.#place}`;
  }

  get headers(): MessageHeaders {
    return typeof this.#details === 'number' ? NO_HEADERS : this.#details.headers;
  }

  get attempt(): number {
    return typeof this.#details === 'number' ? 1 : this.#details.attempt;
  }

  get publishedAt(): number {
    return typeof this.#details === 'number' ? this.#lender.publishedAt(this.#details) : this.#details.publishedAt;
  }

  get settled(): Settlement {
    return this.#settled;
  }

  get [GROUP](): ConsumerGroup {
    return this.#lender.groupName;
  }

  get [REJECTION](): unknown {
    return notedRejection(this);
  }

  get publication(): Publication | undefined {
    return publicationOf(this.#details);
  }

  ack(): Promise<boolean> {
    return this.#settle('acked', 'ack', 0);
  }

  nack(options?: NackOptions): Promise<boolean> {
    try {
      const { delay = 0 } = checkOptions(options);
      return this.#settle('retried', 'nack', checkMilliseconds('delay', delay));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  release(): Promise<boolean> {
    return this.#settle('released', 'release', 0);
  }

  reject(reason?: unknown): Promise<boolean> {
    if (this.#settled === false) {
      noteRejection(this, reason);
      this.#lender.rejected(this, reason);
    }
    return this.#settle('rejected', 'reject', 0);
  }

  /** It goes back because its holder left: as failed, since the holder had it. */
  recall(): void {
    this.#settled = 'retried';
  }

  /** The message as it goes back, for its next delivery. */
  toMessage(): Message {
    const attempt = this.#settled === 'released' ? this.attempt : this.attempt + 1;
    const message = new Message(this.key, this.#kept, this.headers, this.publishedAt, attempt, this.publication);
    message.place = this.#place;
    return message;
  }

  toJSON(): object {
    return deliveryRecord(this);
  }

  [inspectCustom](): object {
    return deliveryRecord(this);
  }

  #settle(how: Settled, call: string, delay: number): Promise<boolean> {
    if (this.#settled !== false) {
      this.#lender.settledAgain(this, call);
      return NOT_COUNTED;
    }
    this.#settled = how;
    this.#lender.settle(this, how, delay);
    return COUNTED;
  }
}
