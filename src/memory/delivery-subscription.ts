import type { Subscriber, Subscription } from 'rxjs';
import type { ConsumerGroup, Delivery, QueueKey, QueuePayload } from '../backend.js';
import type { Credit } from '../bridge/credit.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { CreditCheck } from '../bridge/stall-watch.js';
import { logRejected, logSettledAgain, type Settled } from '../core/base-delivery.js';
import type { Linked } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import { isVirtual } from '../internal/virtual-time.js';
import type { Consumer } from './consumer.js';
import { type DeliveryOwner, MemoryDelivery } from './delivery.js';
import type { Group } from './group.js';
import type { Details } from './message-buffer.js';
import type { MemoryQueue } from './queue.js';

/** Lends the messages of a group to one subscriber of `deliveries()`, as many at a time as it may hold unsettled. */
export class DeliverySubscription implements Consumer, DeliveryOwner {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly payloadOnly = false;
  /** As the consumer named it, also where the queue ignores groups. */
  readonly groupName: ConsumerGroup;
  readonly #queue: MemoryQueue;
  readonly #group: Group;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #credit: Credit;
  /** How many may be out: what the credit says, at hand for every message. */
  #allowed: number;
  readonly #ignoreAbort: () => void;
  readonly #check: CreditCheck | undefined;
  /** What is out, in no order. */
  readonly #held: MemoryDelivery[] = [];
  /** The intake has ended: nothing more is taken, what is out can still be settled. */
  #stopped = false;
  /** Set while the subscriber pauses after it gave a message back. */
  #pause: Subscription | undefined;

  /** Delivers to a subscriber until it leaves, the signal aborts or the queue ends. */
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
    this.#queue = queue;
    this.#subscriber = subscriber;
    this.#credit = credit;
    this.groupName = group;
    this.#allowed = credit.limit;
    credit.obey(() => this.#creditChanged());
    this.#ignoreAbort = onAbort(signal, () => this.#stop());
    this.#group = queue.enrol(this, group);
    if (watched && !isVirtual(scheduler)) {
      this.#check = new CreditCheck({ queue: name, group, prefetch, logger, newestOfAll: () => this.#newestOfAll });
    }
  }

  /** The last one: the next one is appended, and none is next before the credit of a settled one. */
  get #newestOfAll(): MemoryDelivery | undefined {
    return this.credit > 0 ? undefined : this.#held.at(-1);
  }

  get credit(): number {
    return this.#allowed - this.#held.length;
  }

  get queueName(): string {
    return this.#queue.options.name;
  }

  get queueId(): string {
    return this.#queue.id;
  }

  handOver(payload: QueuePayload): QueuePayload {
    return this.#queue.handOver(payload);
  }

  publishedAt(relative: number): number {
    return this.#queue.publishedAt(relative);
  }

  take(key: QueueKey, payload: QueuePayload, details: Details, place: number): void {
    const delivery = new MemoryDelivery(this, key, payload, details, place, this.#held.length);
    this.#held.push(delivery);
    this.#lineUp();
    this.#subscriber.next(delivery);
  }

  end(): void {
    this.#subscriber.complete();
  }

  rejected(delivery: MemoryDelivery, reason: unknown): void {
    logRejected(this.#queue.options.logger, delivery, reason);
  }

  settledAgain(delivery: MemoryDelivery, call: string): void {
    logSettledAgain(this.#queue.options.logger, delivery, call);
  }

  settle(delivery: MemoryDelivery, how: Settled, delay: number): void {
    this.#remove(delivery);
    if (how === 'retried' || how === 'released') this.#giveBack(delivery, delay);
    else {
      this.#lineUp();
      this.#queue.settle(this.#group, delivery.publication);
    }
    this.#queue.serve();
    if (this.#stopped && this.#held.length === 0) this.#subscriber.complete();
  }

  #giveBack(delivery: MemoryDelivery, delay: number): void {
    if (delay === 0) this.#rest();
    else this.#lineUp();
    this.#queue.giveBack(this.#group, delivery.toMessage(), delay);
  }

  #start(): void {
    // Before the first message: a subscriber may leave in the middle of it, and nobody would hear of it later.
    this.#subscriber.add(() => this.#leave());
    this.#lineUp();
    this.#queue.serveNewcomer(() => this.#subscriber.closed);
  }

  /** Joins the line, if it can take a message. */
  #lineUp(): void {
    const mayTake = this.#held.length < this.#allowed && !this.#stopped && this.#pause === undefined;
    if (mayTake && this.list === undefined) this.#group.line.append(this);
  }

  #creditChanged(): void {
    this.#allowed = this.#credit.paused ? 0 : this.#credit.limit;
    if (this.credit <= 0) this.#group.line.remove(this);
    else {
      this.#lineUp();
      this.#queue.serve();
    }
    // Nothing is ever on its way here.
    if (this.#credit.paused) this.#credit.quiet();
  }

  /** Takes nothing before the next macrotask, so that a message that keeps coming back does not spin. */
  #rest(): void {
    if (this.#stopped) return;
    this.#group.line.remove(this);
    this.#pause ??= this.#queue.options.scheduler.schedule(() => {
      this.#pause = undefined;
      this.#lineUp();
      this.#queue.serve();
    }, 0);
  }

  /** Ends the intake. */
  #stop(): void {
    this.#stopped = true;
    this.#ignoreAbort();
    this.#check?.stop();
    this.#group.line.remove(this);
    this.#pause?.unsubscribe();
    this.#pause = undefined;
    if (this.#held.length === 0) this.#subscriber.complete();
  }

  /** The subscriber has left: what is out goes back. */
  #leave(): void {
    this.#stop();
    this.#queue.dismiss(this, this.#group);
    for (const delivery of this.#held.splice(0)) {
      delivery.recall();
      this.#queue.giveBack(this.#group, delivery.toMessage(), 0);
    }
    this.#queue.serve();
  }

  /** The last one held takes the slot of the one that goes: order means nothing here, and nothing is searched or moved up. */
  #remove(delivery: MemoryDelivery): void {
    const last = this.#held.pop() as MemoryDelivery;
    if (last === delivery) return;
    last.slot = delivery.slot;
    this.#held[delivery.slot] = last;
  }
}
