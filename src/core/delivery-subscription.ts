import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery } from '../backend.js';
import type { Credit } from '../bridge/credit.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { CreditCheck } from '../bridge/stall-watch.js';
import type { Linked } from '../internal/linked-list.js';
import type { Logger } from '../internal/logger.js';
import { onAbort } from '../internal/on-abort.js';
import { type Disposition, logRejected, logSettledAgain, REQUEUE } from './base-delivery.js';
import { type DeliveryOwner, DriverDelivery } from './delivery.js';
import type { Message } from './envelope.js';

/** The group that a subscription belongs to. */
export interface SubscriptionOwner {
  readonly queueName: string;
  readonly logger: Logger;
  /** The longest delay that the engine accepts, in milliseconds. */
  readonly longestDelay: number;
  /** Appends a subscription with credit to the ready list. */
  addReady(subscription: DeliverySubscription): void;
  removeReady(subscription: DeliverySubscription): void;
  /** The credit has grown or shrunk. */
  creditChanged(subscription: DeliverySubscription): void;
  removeSubscription(subscription: DeliverySubscription): void;
  /** Settles a delivery. Resolves to whether that counted. */
  settle(delivery: DriverDelivery, disposition: Disposition): Promise<boolean>;
}

/** Delivers messages of a group to one subscriber of `deliveries()`, up to its credit. */
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
  readonly #inFlight = new Set<DriverDelivery>();
  /** The credit has shrunk: messages that were requested before may still arrive. */
  #mayGetExcess = false;
  /** The limit at the last change of credit. */
  #limit: number;
  /** The intake has ended. Messages in flight can still be settled. */
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

  /** Joins the ready list until the subscriber unsubscribes. */
  start(): void {
    this.#owner.addReady(this);
    this.#subscriber.add(() => this.#leave());
  }

  get longestDelay(): number {
    return this.#owner.longestDelay;
  }

  get #newestOfAll(): DriverDelivery | undefined {
    return this.credit > 0 ? undefined : [...this.#inFlight].at(-1);
  }

  /** How many more messages the subscriber accepts. */
  get credit(): number {
    return this.#stopped || this.#credit.paused ? 0 : this.#credit.limit - this.#inFlight.size;
  }

  /**
   * Whether it accepts messages that were requested before its credit shrank. Some engines count a
   * requeue as a delivery.
   */
  get acceptsExcess(): boolean {
    return this.#mayGetExcess && !this.#stopped;
  }

  /** Whether its subscriber waits until no requested message can arrive. */
  get isPausing(): boolean {
    return this.acceptsExcess && this.#credit.paused;
  }

  /** Creates the delivery of a message. Requires credit, or `acceptsExcess`. */
  take(message: Message): DriverDelivery {
    const delivery = new DriverDelivery(this, this.#owner.queueName, message);
    this.#inFlight.add(delivery);
    if (this.credit > 0) this.#owner.addReady(this);
    return delivery;
  }

  /** Emits a delivery of `take`. */
  emit(delivery: DriverDelivery): void {
    this.#subscriber.next(delivery);
  }

  /** All requested messages have arrived. */
  quiet(): void {
    this.#mayGetExcess = false;
    if (this.#credit.paused) this.#credit.quiet();
  }

  /** The queue is closed, or fails for good. */
  end(failure?: { readonly error: unknown }): void {
    if (failure === undefined) this.#subscriber.complete();
    else this.#subscriber.error(failure.error);
  }

  /** Removes a delivery that another consumer may have now. */
  forget(delivery: DriverDelivery): void {
    if (this.#inFlight.delete(delivery)) this.#freed();
  }

  settle(delivery: DriverDelivery, disposition: Disposition): Promise<boolean> {
    this.#inFlight.delete(delivery);
    const counted = this.#owner.settle(delivery, disposition);
    this.#freed();
    return counted;
  }

  rejected(delivery: DriverDelivery, reason: unknown): void {
    logRejected(this.#owner.logger, delivery, reason);
  }

  settledAgain(delivery: DriverDelivery, call: string): void {
    logSettledAgain(this.#owner.logger, delivery, call);
  }

  #creditChanged(): void {
    const { limit, paused } = this.#credit;
    if (this.#stopped) {
      this.quiet();
      return;
    }
    if (paused || limit < this.#limit) this.#mayGetExcess = true;
    this.#limit = limit;
    this.#owner.creditChanged(this);
  }

  #freed(): void {
    if (this.credit > 0) this.#owner.addReady(this);
    if (this.#stopped && this.#inFlight.size === 0) this.#subscriber.complete();
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#ignoreAbort();
    this.#check?.stop();
    this.#owner.removeReady(this);
    this.quiet();
    if (this.#inFlight.size === 0) this.#subscriber.complete();
  }

  /** Requeues deliveries in flight as failed, because the subscriber has seen them. */
  #leave(): void {
    this.#stop();
    for (const delivery of this.#inFlight) {
      this.#inFlight.delete(delivery);
      delivery.recall();
      // The owner logs a failure, or ends the streams with it. The message is redelivered when its
      // lease expires.
      void this.#owner.settle(delivery, REQUEUE).catch(() => {});
    }
    this.#owner.removeSubscription(this);
  }
}
