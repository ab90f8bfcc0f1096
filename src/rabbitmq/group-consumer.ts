import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { DriverConsumer } from '../core/driver.js';
import { Subscription } from './subscription.js';
import type { SubscriptionOptions } from './subscription-options.js';

/** All subscriptions of this process to one group. The broker shares the messages out among them, as among those of all processes. */
export class GroupConsumer implements DriverConsumer {
  readonly #options: SubscriptionOptions;
  readonly #subscriptions = new Set<Subscription>();

  constructor(options: SubscriptionOptions) {
    this.#options = options;
  }

  /** How many messages are out here. */
  get held(): number {
    return this.#sum(({ held }) => held);
  }

  /** How many have come and wait for room. */
  get buffered(): number {
    return this.#sum(({ buffered }) => buffered);
  }

  /** The ids of all that are here, and of those that have gone back, and may be with nobody for the broker. */
  get ids(): string[] {
    return [...[...this.#subscriptions].flatMap(({ ids }) => ids), ...this.#options.returning.ids];
  }

  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    const subscription = new Subscription(this.#options, subscriber, intake);
    this.#subscriptions.add(subscription);
    void subscription.ended.then(() => {
      this.#subscriptions.delete(subscription);
      this.#options.log.left(subscription);
    });
  }

  async settled(): Promise<void> {
    await this.#all((subscription) => subscription.settled());
  }

  /** Resolves when what the broker had delivered is here. */
  async arrived(): Promise<void> {
    await this.#all((subscription) => subscription.arrived());
  }

  /**
   * Prepares a purge of the group's queues on the broker: resolves when the broker has what this process has settled
   * or returned.
   */
  async returned(): Promise<void> {
    await this.#all((subscription) => subscription.returned());
  }

  /** Removes the messages that were prefetched and wait here. Resolves to how many. */
  async purge(): Promise<number> {
    const purged = await Promise.all([...this.#subscriptions].map((subscription) => subscription.purge()));
    this.#options.returning.clear();
    return purged.reduce((sum, count) => sum + count, 0);
  }

  async close(): Promise<void> {
    await this.#all((subscription) => {
      subscription.close();
      return subscription.ended;
    });
  }

  abandon(): void {
    for (const subscription of this.#subscriptions) subscription.abandon();
  }

  #sum(count: (subscription: Subscription) => number): number {
    let sum = 0;
    for (const subscription of this.#subscriptions) sum += count(subscription);
    return sum;
  }

  async #all(what: (subscription: Subscription) => Promise<void>): Promise<void> {
    await Promise.all([...this.#subscriptions].map(what));
  }
}
