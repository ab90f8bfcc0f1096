import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery } from '../backend.js';
import type { Credit } from '../bridge/credit.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { CreditCheck } from '../bridge/stall-watch.js';
import type { Linked } from '../internal/linked-list.js';
import type { Logger } from '../internal/logger.js';
import { onAbort } from '../internal/on-abort.js';
import { type DeliveryOwner, DriverDelivery, type Settled } from './delivery.js';
import type { Message } from './envelope.js';

/** The side of a subscription where the messages come from. */
export interface SubscriptionOwner {
  readonly queueName: string;
  readonly logger: Logger;
  /** The longest delay that the broker takes, in milliseconds. */
  readonly longestDelay: number;
  /** The subscription can take a message: it joins the line, at its end. */
  addReady(subscription: DeliverySubscription): void;
  /** It takes no more. */
  removeReady(subscription: DeliverySubscription): void;
  /** It may hold more than before, or less. */
  creditChanged(subscription: DeliverySubscription): void;
  /** It has left. */
  removeSubscription(subscription: DeliverySubscription): void;
  /** A delivery of its was settled. Resolves to whether that counted. */
  settle(delivery: DriverDelivery, how: Settled, delay: number, reason?: string): Promise<boolean>;
}

/** Lends messages of a group to one subscriber of `deliveries()`, as many at a time as it may hold unsettled. */
export class DeliverySubscription implements Linked, DeliveryOwner {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly groupName: ConsumerGroup;
  readonly #owner: SubscriptionOwner;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #credit: Credit;
  readonly #ignoreAbort: () => void;
  readonly #check: CreditCheck | undefined;
  readonly #held = new Set<DriverDelivery>();
  /** It may ask for less than it did: what was asked for may still come. */
  #expecting = false;
  /** How many it could hold when its credit changed last. */
  #limit: number;
  /** The intake has ended: nothing more is taken, what is out can still be settled. */
  #stopped = false;

  constructor(
    owner: SubscriptionOwner,
    subscriber: Subscriber<Delivery>,
    { group, prefetch, credit, signal, watched }: CreditIntake,
  ) {
    this.groupName = group;
    this.#owner = owner;
    this.#subscriber = subscriber;
    this.#credit = credit;
    this.#limit = credit.limit;
    credit.obey(() => this.#creditChanged());
    this.#ignoreAbort = onAbort(signal, () => this.#stop());
    const { queueName: queue, logger } = owner;
    if (watched)
      this.#check = new CreditCheck({ queue, group, prefetch, logger, newestOfAll: () => this.#newestOfAll });
  }

  /** Takes its place in the line, until the subscriber leaves. */
  start(): void {
    this.#owner.addReady(this);
    this.#subscriber.add(() => this.#leave());
  }

  get longestDelay(): number {
    return this.#owner.longestDelay;
  }

  get #newestOfAll(): DriverDelivery | undefined {
    return this.credit > 0 ? undefined : [...this.#held].at(-1);
  }

  /** How many messages it can take. */
  get credit(): number {
    return this.#stopped || this.#credit.paused ? 0 : this.#credit.limit - this.#held.size;
  }

  /** Whether it takes what was asked for before it could take less: that is better handled here than sent back, which some brokers count. */
  get acceptsExcess(): boolean {
    return this.#expecting && !this.#stopped;
  }

  /** Whether its subscriber waits until nothing is on its way. */
  get isPausing(): boolean {
    return this.acceptsExcess && this.#credit.paused;
  }

  /** Takes a message, while there is credit. */
  take(message: Message): DriverDelivery {
    const delivery = new DriverDelivery(this, this.#owner.queueName, message);
    this.#held.add(delivery);
    if (this.credit > 0) this.#owner.addReady(this);
    return delivery;
  }

  /** Hands a delivery that it took to the subscriber. */
  emit(delivery: DriverDelivery): void {
    this.#subscriber.next(delivery);
  }

  /** What was asked for has come. */
  quiet(): void {
    this.#expecting = false;
    if (this.#credit.paused) this.#credit.quiet();
  }

  /** The queue has ended, or fails for good. */
  end(failure?: { readonly error: unknown }): void {
    if (failure === undefined) this.#subscriber.complete();
    else this.#subscriber.error(failure.error);
  }

  /** A delivery has gone to another consumer: it is nothing to wait for any more. */
  forget(delivery: DriverDelivery): void {
    if (this.#held.delete(delivery)) this.#freed();
  }

  settle(delivery: DriverDelivery, how: Settled, delay: number, reason?: string): Promise<boolean> {
    this.#held.delete(delivery);
    const counted = this.#owner.settle(delivery, how, delay, reason);
    this.#freed();
    return counted;
  }

  rejected({ id, key }: DriverDelivery, reason: unknown): void {
    const { queueName: queue, logger } = this.#owner;
    logger.debug(`Delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)} was rejected`, {
      queue,
      key,
      id,
      error: reason,
    });
  }

  settledAgain({ id, key, settled }: DriverDelivery, call: string): void {
    const { queueName: queue, logger } = this.#owner;
    const which = `delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)}`;
    logger.warn(`${call}() of ${which} changed nothing: it was already ${settled}`, { queue, key, id });
  }

  #creditChanged(): void {
    const { limit, paused } = this.#credit;
    if (this.#stopped) {
      this.quiet();
      return;
    }
    if (paused || limit < this.#limit) this.#expecting = true;
    this.#limit = limit;
    this.#owner.creditChanged(this);
  }

  #freed(): void {
    if (this.credit > 0) this.#owner.addReady(this);
    if (this.#stopped && this.#held.size === 0) this.#subscriber.complete();
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#ignoreAbort();
    this.#check?.stop();
    this.#owner.removeReady(this);
    this.quiet();
    if (this.#held.size === 0) this.#subscriber.complete();
  }

  /** The subscriber has left: what is out goes back, as failed, since the subscriber had it. */
  #leave(): void {
    this.#stop();
    for (const delivery of this.#held) {
      this.#held.delete(delivery);
      delivery.recall();
      // The owner logs a failure, or ends the streams with it. The message is redelivered when its lease expires.
      void this.#owner.settle(delivery, 'retried', 0).catch(() => {});
    }
    this.#owner.removeSubscription(this);
  }
}
