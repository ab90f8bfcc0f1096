import type { Subscriber, Subscription } from 'rxjs';
import type { ConsumerGroup, Delivery, QueueKey, QueuePayload } from '../backend.js';
import type { Credit } from '../bridge/credit.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { CreditCheck } from '../bridge/stall-watch.js';
import { type Disposition, logRejected, logSettledAgain } from '../core/base-delivery.js';
import type { Linked } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import { isVirtual } from '../internal/virtual-time.js';
import { type DeliveryOwner, MemoryDelivery } from './delivery.js';
import type { Consumer, Group } from './group.js';
import type { Details } from './message-buffer.js';
import type { MemoryQueue } from './queue.js';

/** Delivers the messages of a group to one subscriber of `deliveries()`, within its credit. */
export class DeliverySubscription implements Consumer, DeliveryOwner {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly payloadOnly = false;
  /** The name that the consumer gave, also where the queue ignores groups. */
  readonly groupName: ConsumerGroup;
  readonly queue: MemoryQueue;
  readonly #group: Group;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #credit: Credit;
  /** How many deliveries may be unsettled: a copy of the credit, which every message reads. */
  #allowed: number;
  readonly #ignoreAbort: () => void;
  readonly #check: CreditCheck | undefined;
  /** The unsettled deliveries, in no order. */
  readonly #held: MemoryDelivery[] = [];
  /** Whether the intake has ended. Deliveries in flight can still be settled. */
  #stopped = false;
  /** Ends the pause after a requeue. */
  #pause: Subscription | undefined;

  /** Delivers to a subscriber until it unsubscribes, the signal aborts or the queue ends. */
  static connect(queue: MemoryQueue, subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    if (intake.signal?.aborted) subscriber.complete();
    else new DeliverySubscription(queue, subscriber, intake).#start();
  }

  private constructor(
    queue: MemoryQueue,
    subscriber: Subscriber<Delivery>,
    { group, prefetch, credit, signal, watched }: CreditIntake,
  ) {
    const { name, logger, scheduler } = queue.options;
    this.queue = queue;
    this.#subscriber = subscriber;
    this.#credit = credit;
    this.groupName = group;
    this.#allowed = credit.limit;
    credit.obey(() => this.#creditChanged());
    this.#ignoreAbort = onAbort(signal, () => this.#stop());
    this.#group = queue.addConsumer(this, group);
    if (watched && !isVirtual(scheduler)) {
      this.#check = new CreditCheck({ queue: name, group, prefetch, logger, newestOfAll: () => this.#newestOfAll });
    }
  }

  /** The last one: deliveries are appended, and without credit there is no next one. */
  get #newestOfAll(): MemoryDelivery | undefined {
    return this.credit > 0 ? undefined : this.#held.at(-1);
  }

  get credit(): number {
    return this.#allowed - this.#held.length;
  }

  take(key: QueueKey, payload: QueuePayload, details: Details, place: number): void {
    const delivery = new MemoryDelivery(this, key, payload, details, place, this.#held.length);
    this.#held.push(delivery);
    this.#updateReady();
    this.#subscriber.next(delivery);
  }

  end(): void {
    this.#subscriber.complete();
  }

  rejected(delivery: MemoryDelivery, reason: unknown): void {
    logRejected(this.queue.options.logger, delivery, reason);
  }

  settledAgain(delivery: MemoryDelivery, call: string): void {
    logSettledAgain(this.queue.options.logger, delivery, call);
  }

  settle(delivery: MemoryDelivery, disposition: Disposition): void {
    this.#remove(delivery);
    if (disposition.action === 'requeue') this.#requeue(delivery, disposition);
    else {
      this.#updateReady();
      this.queue.settle(this.#group, delivery.publication);
    }
    this.queue.serve();
    if (this.#stopped && this.#held.length === 0) this.#subscriber.complete();
  }

  #requeue(delivery: MemoryDelivery, { delay, isCounted }: Disposition): void {
    if (delay === 0) this.#pauseIntake();
    else this.#updateReady();
    this.queue.requeue(this.#group, delivery.toMessage(isCounted), delay);
  }

  #start(): void {
    // Before the first message: a subscriber that unsubscribes during it must be noticed.
    this.#subscriber.add(() => this.#leave());
    this.#updateReady();
    this.queue.serveNewcomer(() => this.#subscriber.closed);
  }

  /** Adds itself to the ready consumers if it can take a message. */
  #updateReady(): void {
    const mayTake = this.#held.length < this.#allowed && !this.#stopped && this.#pause === undefined;
    if (mayTake && this.list === undefined) this.#group.readyConsumers.append(this);
  }

  #creditChanged(): void {
    this.#allowed = this.#credit.paused ? 0 : this.#credit.limit;
    if (this.credit <= 0) this.#group.readyConsumers.remove(this);
    else {
      this.#updateReady();
      this.queue.serve();
    }
    // No message is ever on its way to the subscriber here.
    if (this.#credit.paused) this.#credit.quiet();
  }

  /**
   * Pauses until the next macrotask, so that a message that is requeued again and again does not
   * spin.
   */
  #pauseIntake(): void {
    if (this.#stopped) return;
    this.#group.readyConsumers.remove(this);
    this.#pause ??= this.queue.options.scheduler.schedule(() => {
      this.#pause = undefined;
      this.#updateReady();
      this.queue.serve();
    }, 0);
  }

  /** Ends the intake. */
  #stop(): void {
    this.#stopped = true;
    this.#ignoreAbort();
    this.#check?.stop();
    this.#group.readyConsumers.remove(this);
    this.#pause?.unsubscribe();
    this.#pause = undefined;
    if (this.#held.length === 0) this.#subscriber.complete();
  }

  /** Requeues the unsettled deliveries: the subscriber has unsubscribed. */
  #leave(): void {
    this.#stop();
    this.queue.removeConsumer(this, this.#group);
    for (const delivery of this.#held.splice(0)) {
      delivery.recall();
      this.queue.requeue(this.#group, delivery.toMessage(), 0);
    }
    this.queue.serve();
  }

  /**
   * Moves the last delivery to the slot of the removed one: the order does not matter, and nothing
   * is searched.
   */
  #remove(delivery: MemoryDelivery): void {
    const last = this.#held.pop() as MemoryDelivery;
    if (last === delivery) return;
    last.slot = delivery.slot;
    this.#held[delivery.slot] = last;
  }
}
