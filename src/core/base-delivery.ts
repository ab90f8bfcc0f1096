import type {
  ConsumerGroup,
  DeliveryOf,
  MessageHeaders,
  NackOptions,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../backend.js';
import { NOT_COUNTED } from '../internal/answers.js';
import {
  deliveryRecord,
  GROUP,
  inspectCustom,
  notedRejection,
  noteRejection,
  REJECTION,
  type TellsGroup,
  type TellsRejection,
} from '../internal/delivery-symbols.js';
import type { Logger } from '../internal/logger.js';
import type { Metadata } from '../internal/metadata.js';
import { checkMilliseconds, checkOptions } from '../internal/options.js';

export type Settled = Exclude<Settlement, false>;

/**
 * What an engine does with a message after its settlement. Engines know these three ways, not the
 * kinds of settlement.
 */
export interface Disposition {
  /**
   * `'finish'`: the message was processed. `'drop'`: it has failed for good. `'requeue'`: it is
   * delivered again.
   */
  readonly action: 'finish' | 'drop' | 'requeue';
  /** For `'requeue'`: whether the delivery counts as an attempt. */
  readonly isCounted: boolean;
  /** For `'requeue'`: how long the message stays away, in milliseconds. */
  readonly delay: number;
  /** For `'drop'`: why the message goes to quarantine. Undefined: it does not. */
  readonly quarantine?: string | undefined;
}

export const FINISH: Disposition = { action: 'finish', isCounted: true, delay: 0 };
export const DROP: Disposition = { action: 'drop', isCounted: true, delay: 0 };
export const REQUEUE: Disposition = { action: 'requeue', isCounted: true, delay: 0 };
export const REQUEUE_UNCOUNTED: Disposition = { action: 'requeue', isCounted: false, delay: 0 };

/** The subscription that a delivery belongs to. */
export interface BaseDeliveryOwner {
  /** The group that the consumer named. Undefined: the default of the queue. */
  readonly groupName: ConsumerGroup | undefined;
  /** The longest delay that the engine accepts, in milliseconds. Undefined: any. */
  readonly longestDelay?: number | undefined;
  /** Notes a rejection, before the delivery is settled. */
  rejected(delivery: BaseDelivery, reason: unknown): void;
  /** Notes a call that came after the first settlement. */
  settledAgain(delivery: BaseDelivery, call: string): void;
}

/**
 * Implements the settlement rules of every delivery: the first settlement wins, and later ones
 * change nothing.
 *
 * A subclass supplies the fields of the message and sends the first settlement to its engine. Most
 * extend `PlainDelivery`. This class has no fields and no constructor: with them, `MemoryBackend`
 * would take a sixth longer for a delivery. This module uses nothing of Node.js, because the
 * delivery of `MemoryBackend` extends it too.
 */
export abstract class BaseDelivery implements DeliveryOf<QueueKey, QueuePayload>, TellsGroup, TellsRejection {
  abstract readonly queue: string;
  abstract readonly id: string;
  abstract readonly key: QueueKey;
  abstract readonly payload: QueuePayload;
  abstract readonly attempt: number;
  abstract readonly publishedAt: number;
  abstract readonly settled: Settlement;

  /**
   * A getter of the subclass's private field: copies of the delivery would contain an own property.
   */
  protected abstract get owner(): BaseDeliveryOwner;

  protected abstract get metadata(): Metadata;

  /** Notes the first settlement, or the recall. */
  protected abstract noteSettled(how: Settled): void;

  /** Sends the first settlement. `settled` already tells it. Resolves to whether it counted. */
  protected abstract send(disposition: Disposition): Promise<boolean>;

  get headers(): MessageHeaders {
    return this.metadata.headers;
  }

  get [GROUP](): ConsumerGroup | undefined {
    return this.owner.groupName;
  }

  get [REJECTION](): unknown {
    return notedRejection(this);
  }

  ack(): Promise<boolean> {
    return this.settle('acked', 'ack', FINISH);
  }

  nack(options?: NackOptions): Promise<boolean> {
    try {
      const { delay = 0 } = checkOptions(options);
      checkMilliseconds('delay', delay, { most: this.owner.longestDelay ?? Number.MAX_SAFE_INTEGER });
      return this.settle('retried', 'nack', delay === 0 ? REQUEUE : { ...REQUEUE, delay });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  release(): Promise<boolean> {
    return this.settle('released', 'release', REQUEUE_UNCOUNTED);
  }

  reject(reason?: unknown): Promise<boolean> {
    if (this.settled === false) {
      noteRejection(this, reason);
      this.owner.rejected(this, reason);
    }
    return this.settle('rejected', 'reject', DROP);
  }

  /** Marks the message as requeued by the engine: it is redelivered like a failed one. */
  recall(): void {
    this.noteSettled('retried');
  }

  toJSON(): object {
    return deliveryRecord(this);
  }

  [inspectCustom](): object {
    return deliveryRecord(this);
  }

  /** Drops the message, and has the engine keep it apart. */
  protected quarantine(reason: string): Promise<boolean> {
    return this.settle('rejected', 'reject', { ...DROP, quarantine: reason });
  }

  protected settle(how: Settled, call: string, disposition: Disposition): Promise<boolean> {
    if (this.settled !== false) {
      this.owner.settledAgain(this, call);
      return NOT_COUNTED;
    }
    this.noteSettled(how);
    return this.send(disposition);
  }
}

/** A delivery that holds its own key, payload and state. */
export abstract class PlainDelivery extends BaseDelivery {
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  #settled: Settlement = false;

  constructor(key: QueueKey, payload: QueuePayload) {
    super();
    this.key = key;
    this.payload = payload;
  }

  get settled(): Settlement {
    return this.#settled;
  }

  protected override noteSettled(how: Settled): void {
    this.#settled = how;
  }
}

/** Logs that the consumer rejected a delivery. */
export function logRejected(logger: Logger, { id, key, queue }: BaseDelivery, reason: unknown): void {
  const message = `Delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)} was rejected`;
  logger.debug(message, { queue, key, id, error: reason });
}

/** Warns of a call that came after the first settlement. */
export function logSettledAgain(logger: Logger, { id, key, queue, settled }: BaseDelivery, call: string): void {
  const delivery = `delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)}`;
  logger.warn(`${call}() of ${delivery} changed nothing: it was already ${settled}`, { queue, key, id });
}
