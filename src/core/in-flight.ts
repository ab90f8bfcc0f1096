import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { LinkedList } from '../internal/linked-list.js';
import type { Logger } from '../internal/logger.js';
import type { DriverDelivery, Settled } from './delivery.js';
import { DeliverySubscription, type SubscriptionOwner } from './delivery-subscription.js';
import type { Message } from './envelope.js';

/** Who fetches the messages that are lent, and sends their settlements. */
export interface InFlightOptions {
  readonly queueName: string;
  readonly logger: Logger;
  /** The longest delay of a nack that the broker takes, in milliseconds. Default: any. */
  readonly longestDelay?: number | undefined;
  /** There may be more room than before, or a subscriber less. */
  readonly onChange: () => void;
  /** There is no room any more, since a subscriber stops. */
  readonly onFull: () => void;
  /** A subscriber may hold more than before, or less, or pauses. Default: `onChange`. */
  readonly onCredit?: (() => void) | undefined;
  /**
   * Sends the settlement of a delivery, which is not out any more. Resolves to whether it counted.
   * @param delay in milliseconds, for `'retried'`
   * @param reason why the message goes to quarantine, for `'rejected'`; undefined: it does not
   */
  readonly settle: (
    delivery: DriverDelivery,
    how: Settled,
    delay: number,
    reason: string | undefined,
  ) => Promise<boolean>;
}

/** All subscriptions of this process to one group: who can take a message, in turn, and who holds which. */
export class InFlight implements SubscriptionOwner {
  readonly #options: InFlightOptions;
  readonly #ready = new LinkedList<DeliverySubscription>();
  readonly #members = new Set<DeliverySubscription>();
  readonly #held = new Map<string, { readonly delivery: DriverDelivery; readonly holder: DeliverySubscription }>();

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

  /** Whether somebody can take a message. */
  get hasCredit(): boolean {
    return this.#ready.first !== undefined;
  }

  /** Whether somebody takes a message that was asked for before. */
  get canDeliver(): boolean {
    return this.#next !== undefined;
  }

  /** Whether somebody may ask for less than it did, and takes what comes nevertheless. */
  get acceptsExcess(): boolean {
    return this.#some(({ acceptsExcess }) => acceptsExcess);
  }

  /** Whether a subscriber waits until nothing is on its way to it. */
  get isPausing(): boolean {
    return this.#some(({ isPausing }) => isPausing);
  }

  /** Whether somebody takes a message that has come. Who pauses does: it counts as delivered. */
  get canReceive(): boolean {
    return this.hasCredit || this.isPausing;
  }

  /** How many messages all of them can take. */
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

  /** How many are out. */
  get size(): number {
    return this.#held.size;
  }

  /** The messages in flight, by their tokens. */
  get ids(): Iterable<string> {
    return this.#held.keys();
  }

  /** Lends to a subscriber until it leaves, the signal aborts or all is over. */
  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    const subscription = new DeliverySubscription(this, subscriber, intake);
    this.#members.add(subscription);
    subscription.start();
  }

  /** Lends a message to whose turn it is. Returns the delivery; undefined if nobody can take it. */
  deliver(message: Message): DriverDelivery | undefined {
    // It had come before, and its lease ended in the meantime: who has it from then has lost it, and may leave for that.
    const { id, token = id } = message;
    this.recall(token);
    const holder = this.#next;
    if (holder === undefined) return undefined;
    this.#ready.remove(holder);
    const delivery = holder.take(message);
    this.#held.set(token, { delivery, holder });
    holder.emit(delivery);
    return delivery;
  }

  /** What is out may have gone to another consumer: it is nobody's here any more. */
  recall(token: string): void {
    const loan = this.#held.get(token);
    if (loan === undefined) return;
    this.#held.delete(token);
    loan.delivery.recall();
    loan.holder.forget(loan.delivery);
  }

  /** No more is on its way than there is room for. */
  quiet(): void {
    for (const member of this.#members) if (member.acceptsExcess) member.quiet();
  }

  /** Ends all subscriptions, each of which gives back what it has out. */
  end(failure?: { readonly error: unknown }): void {
    const members = [...this.#members];
    this.#members.clear();
    for (const member of members) member.end(failure);
  }

  /** Whether there is a subscription. */
  get hasMembers(): boolean {
    return this.#members.size > 0;
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
    this.#members.delete(subscription);
    this.#options.onChange();
  }

  async settle(delivery: DriverDelivery, how: Settled, delay: number, reason?: string): Promise<boolean> {
    const { id, token, key } = delivery;
    if (this.#held.get(token)?.delivery === delivery) this.#held.delete(token);
    if (await this.#options.settle(delivery, how, delay, reason)) return true;
    delivery.recall();
    this.logger.warn(
      `Delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(this.queueName)} could not be ${how}: its lease has ended, or the queue was closed or emptied`,
      { queue: this.queueName, key, id },
    );
    return false;
  }

  /** Who gets the next message. */
  get #next(): DeliverySubscription | undefined {
    return this.#ready.first ?? this.#find(({ acceptsExcess }) => acceptsExcess);
  }

  #some(condition: (member: DeliverySubscription) => boolean): boolean {
    return this.#find(condition) !== undefined;
  }

  #find(condition: (member: DeliverySubscription) => boolean): DeliverySubscription | undefined {
    for (const member of this.#members) if (condition(member)) return member;
    return undefined;
  }
}
