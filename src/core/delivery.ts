import type {
  ConsumerGroup,
  DeliveryOf,
  MessageHeaders,
  NackOptions,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../backend.js';
import { NOT_COUNTED, unawaited } from '../internal/answers.js';
import { deliveryRecord, inspectCustom } from '../internal/delivery-record.js';
import { GROUP, type TellsGroup } from '../internal/group-of.js';
import { checkMilliseconds, checkOptions } from '../internal/options.js';
import { QUARANTINE, type Quarantinable } from '../internal/quarantine.js';
import { notedRejection, noteRejection, REJECTION, type TellsRejection } from '../internal/rejection.js';
import type { Message } from './envelope.js';

export type Settled = Exclude<Settlement, false>;

/** Who lent a delivery, and takes its settlement. */
export interface DeliveryOwner {
  /** The group of its consumer. */
  readonly groupName: ConsumerGroup;
  /** The longest delay that the broker takes, in milliseconds. */
  readonly longestDelay: number;
  /**
   * The first settlement of a delivery that is out. Resolves to whether it counted.
   * @param delay in milliseconds, for `'retried'`
   * @param reason why the message is quarantined, for `'rejected'`; undefined: it is not
   */
  settle(delivery: DriverDelivery, how: Settled, delay: number, reason?: string): Promise<boolean>;
  /** It is about to be settled as rejected, for a reason if one was given. */
  rejected(delivery: DriverDelivery, reason: unknown): void;
  /** One more settlement, of a delivery that is settled already or was lost. */
  settledAgain(delivery: DriverDelivery, call: string): void;
}

/** A message on loan from a broker. */
export class DriverDelivery implements DeliveryOf<QueueKey, QueuePayload>, Quarantinable, TellsGroup, TellsRejection {
  readonly queue: string;
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
  /** Identifies the message while it is in flight. */
  readonly token: string;
  readonly #owner: DeliveryOwner;
  #settled: Settlement = false;

  constructor(owner: DeliveryOwner, queue: string, message: Message) {
    const { id, token = id, key, payload, headers, attempt, publishedAt } = message;
    this.queue = queue;
    this.id = id;
    this.key = key;
    this.payload = payload;
    this.headers = headers;
    this.attempt = attempt;
    this.publishedAt = publishedAt;
    this.token = token;
    this.#owner = owner;
  }

  get settled(): Settlement {
    return this.#settled;
  }

  get [GROUP](): ConsumerGroup {
    return this.#owner.groupName;
  }

  get [REJECTION](): unknown {
    return notedRejection(this);
  }

  ack(): Promise<boolean> {
    return this.#settle('acked', 'ack', 0);
  }

  nack(options?: NackOptions): Promise<boolean> {
    try {
      const { delay = 0 } = checkOptions(options);
      return this.#settle('retried', 'nack', checkMilliseconds('delay', delay, { most: this.#owner.longestDelay }));
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
      this.#owner.rejected(this, reason);
    }
    return this.#settle('rejected', 'reject', 0);
  }

  [QUARANTINE](reason: string): Promise<boolean> {
    return this.#settle('rejected', 'reject', 0, reason);
  }

  /** It goes back, or has gone back, without its holder's doing: to be delivered again. */
  recall(): void {
    this.#settled = 'retried';
  }

  toJSON(): object {
    return deliveryRecord(this);
  }

  [inspectCustom](): object {
    return deliveryRecord(this);
  }

  #settle(how: Settled, call: string, delay: number, reason?: string): Promise<boolean> {
    if (this.#settled !== false) {
      this.#owner.settledAgain(this, call);
      return NOT_COUNTED;
    }
    this.#settled = how;
    const answer = this.#owner.settle(this, how, delay, reason);
    // It may fail for good, and nobody need wait for it: that is no reason to end the process.
    unawaited(answer);
    return answer;
  }
}
