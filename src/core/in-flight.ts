import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { LinkedList } from '../internal/linked-list.js';
import type { Logger } from '../internal/logger.js';
import type { Disposition } from './base-delivery.js';
import type { DriverDelivery } from './delivery.js';
import { DeliverySubscription, type SubscriptionOwner } from './delivery-subscription.js';
import type { Message } from './envelope.js';

/** The group, as its messages in flight see it. */
export interface InFlightOptions {
  readonly queueName: string;
  readonly logger: Logger;
  /** The longest delay of a nack that the engine accepts, in milliseconds. Default: any. */
  readonly longestDelay?: number | undefined;
  /** The credit may have grown, or a subscriber has left. */
  readonly onChange: () => void;
  /** The last credit is gone, because a subscriber stops. */
  readonly onFull: () => void;
  /** The credit of a subscriber has changed, or it pauses. Default: `onChange`. */
  readonly onCredit?: (() => void) | undefined;
  /**
   * Sends the settlement of a delivery, which is no longer in flight. Resolves to whether it
   * counted.
   */
  readonly settle: (delivery: DriverDelivery, disposition: Disposition) => Promise<boolean>;
}

/**
 * The subscriptions of this process to one group, and their messages in flight. Subscriptions with
 * credit get messages in turn.
 */
export class InFlight implements SubscriptionOwner {
  readonly #options: InFlightOptions;
  readonly #ready = new LinkedList<DeliverySubscription>();
  readonly #subscriptions = new Set<DeliverySubscription>();
  readonly #deliveries = new Map<
    string,
    { readonly delivery: DriverDelivery; readonly subscription: DeliverySubscription }
  >();

  constructor(options: InFlightOptions) {
    this.#options = options;
  }

  get queueName(): string {
    return this.#options.queueName;
  }

  get logger(): Logger {
    return this.#options.logger;
  }

  get longestDelay(): number {
    return this.#options.longestDelay ?? Number.MAX_SAFE_INTEGER;
  }

  /** Whether a subscriber has credit. */
  get hasCredit(): boolean {
    return this.#ready.first !== undefined;
  }

  /** Whether a subscriber accepts a message that was requested before. */
  get canDeliver(): boolean {
    return this.#next !== undefined;
  }

  /** Whether a subscriber whose credit shrank accepts messages that were requested before. */
  get acceptsExcess(): boolean {
    return this.#some(({ acceptsExcess }) => acceptsExcess);
  }

  /** Whether a subscriber waits until no requested message can arrive. */
  get isPausing(): boolean {
    return this.#some(({ isPausing }) => isPausing);
  }

  /** Whether a subscriber accepts an arrived message. A pausing subscriber does. */
  get canReceive(): boolean {
    return this.hasCredit || this.isPausing;
  }

  /** How many more messages all subscribers accept. */
  get credit(): number {
    let credit = 0;
    for (
      let subscription = this.#ready.first;
      subscription !== undefined;
      subscription = subscription.after as DeliverySubscription | undefined
    ) {
      credit += subscription.credit;
    }
    return credit;
  }

  /** How many messages are in flight. */
  get size(): number {
    return this.#deliveries.size;
  }

  /** The tokens of the messages in flight. */
  get ids(): Iterable<string> {
    return this.#deliveries.keys();
  }

  /** Delivers to a subscriber until it unsubscribes, the signal aborts or the group ends. */
  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    const subscription = new DeliverySubscription(this, subscriber, intake);
    this.#subscriptions.add(subscription);
    subscription.start();
  }

  /** Delivers a message to the next subscriber. Returns undefined if no subscriber accepts it. */
  deliver(message: Message): DriverDelivery | undefined {
    // Delivered before, and its lease expired: the earlier delivery ends, and its subscriber may
    // unsubscribe.
    const { id, token = id } = message;
    this.recall(token);
    const subscription = this.#next;
    if (subscription === undefined) return undefined;
    this.#ready.remove(subscription);
    const delivery = subscription.take(message);
    this.#deliveries.set(token, { delivery, subscription });
    subscription.emit(delivery);
    return delivery;
  }

  /** Ends a delivery whose message may be with another consumer. */
  recall(token: string): void {
    const entry = this.#deliveries.get(token);
    if (entry === undefined) return;
    this.#deliveries.delete(token);
    entry.delivery.recall();
    entry.subscription.forget(entry.delivery);
  }

  /** No more messages are requested than there is credit for. */
  quiet(): void {
    for (const subscription of this.#subscriptions) if (subscription.acceptsExcess) subscription.quiet();
  }

  /** Ends all subscriptions. Each requeues its messages in flight. */
  end(failure?: { readonly error: unknown }): void {
    const subscriptions = [...this.#subscriptions];
    this.#subscriptions.clear();
    for (const subscription of subscriptions) subscription.end(failure);
  }

  /** Whether there is a subscription. */
  get hasMembers(): boolean {
    return this.#subscriptions.size > 0;
  }

  addReady(subscription: DeliverySubscription): void {
    if (subscription.list === undefined) this.#ready.append(subscription);
    this.#options.onChange();
  }

  removeReady(subscription: DeliverySubscription): void {
    this.#ready.remove(subscription);
    if (!this.hasCredit) this.#options.onFull();
  }

  creditChanged(subscription: DeliverySubscription): void {
    if (subscription.credit <= 0) this.#ready.remove(subscription);
    else if (subscription.list === undefined) this.#ready.append(subscription);
    (this.#options.onCredit ?? this.#options.onChange)();
  }

  removeSubscription(subscription: DeliverySubscription): void {
    this.#subscriptions.delete(subscription);
    this.#options.onChange();
  }

  async settle(delivery: DriverDelivery, disposition: Disposition): Promise<boolean> {
    const { id, token, key, settled } = delivery;
    if (this.#deliveries.get(token)?.delivery === delivery) this.#deliveries.delete(token);
    if (await this.#options.settle(delivery, disposition)) return true;
    delivery.recall();
    this.logger.warn(
      `Delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(this.queueName)} could not be ${settled}: its lease has expired, or the queue was closed or purged`,
      { queue: this.queueName, key, id },
    );
    return false;
  }

  get #next(): DeliverySubscription | undefined {
    return this.#ready.first ?? this.#find(({ acceptsExcess }) => acceptsExcess);
  }

  #some(condition: (subscription: DeliverySubscription) => boolean): boolean {
    return this.#find(condition) !== undefined;
  }

  #find(condition: (subscription: DeliverySubscription) => boolean): DeliverySubscription | undefined {
    for (const subscription of this.#subscriptions) if (condition(subscription)) return subscription;
    return undefined;
  }
}
