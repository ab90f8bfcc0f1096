import type { Subscriber, TeardownLogic } from 'rxjs';
import type { Delivery, QueueKey, QueuePayload, Settlement } from '../backend.js';
import type { Intake } from '../bridge/delivery-stream.js';
import { type BaseDeliveryOwner, type Disposition, PlainDelivery } from '../core/base-delivery.js';
import { COUNTED } from '../internal/answers.js';
import { notedRejection } from '../internal/delivery-symbols.js';
import type { Metadata } from '../internal/metadata.js';
import { onAbort } from '../internal/on-abort.js';

type Settled = Exclude<Settlement, false>;

/** A complete message. */
export interface ServedMessage extends Metadata {
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly attempt: number;
  readonly publishedAt: number;
}

/** How a delivery was settled. */
export interface FakeSettlement {
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly attempt: number;
  /** The group of the consumer that settled the delivery. */
  readonly group: string;
  /** `'retried'` also if the consumer unsubscribed before it settled the delivery. */
  readonly how: Settled;
  /** For `'retried'`: the delay of the redelivery, in milliseconds. */
  readonly delay?: number;
  /** For `'rejected'`: the reason, if there was one. */
  readonly reason?: unknown;
}

/** Serves each of its messages once, to consumers with credit, in turn. It does not redeliver. */
export class FakeQueue {
  readonly name: string;
  readonly settlements: FakeSettlement[] = [];
  readonly #waiting: ServedMessage[];
  /** The next one to be served comes first. */
  #consumers: FakeConsumer[] = [];
  #inFlight = 0;
  #closed = false;
  #serving = false;

  constructor(name: string, messages: readonly ServedMessage[]) {
    this.name = name;
    this.#waiting = [...messages];
  }

  get closed(): boolean {
    return this.#closed;
  }

  get ready(): number {
    return this.#waiting.length;
  }

  get unfinished(): number {
    return this.#waiting.length + this.#inFlight;
  }

  connect(subscriber: Subscriber<Delivery>, intake: Intake): TeardownLogic {
    if (this.#closed) {
      subscriber.complete();
      return;
    }
    const consumer = new FakeConsumer(this, subscriber, intake);
    const stopListening = onAbort(intake.signal, () => consumer.stop());
    // Before the first message: a subscriber may unsubscribe while it handles that.
    subscriber.add(() => {
      stopListening();
      consumer.leave();
    });
    this.#consumers.push(consumer);
    this.serve();
  }

  removeConsumer(consumer: FakeConsumer): void {
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
  }

  close(): void {
    this.#closed = true;
    for (const consumer of this.#consumers.splice(0)) consumer.end();
  }

  settled(settlement: FakeSettlement): void {
    this.#inFlight--;
    this.settlements.push(settlement);
  }

  /**
   * Serves waiting messages, then completes the streams if nothing is unfinished. Does nothing if
   * called from inside.
   */
  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        const [consumer, message] = next;
        this.#inFlight++;
        consumer.take(message);
      }
    } finally {
      this.#serving = false;
    }
    if (this.unfinished === 0) for (const consumer of this.#consumers.splice(0)) consumer.end();
  }

  #next(): [FakeConsumer, ServedMessage] | undefined {
    const index = this.#closed ? -1 : this.#consumers.findIndex(({ hasCredit }) => hasCredit);
    const [consumer] = index < 0 || this.#waiting.length === 0 ? [] : this.#consumers.splice(index, 1);
    if (consumer === undefined) return undefined;
    this.#consumers.push(consumer);
    return [consumer, this.#waiting.shift() as ServedMessage];
  }
}

/** One subscriber and its unsettled deliveries. */
class FakeConsumer implements BaseDeliveryOwner {
  readonly #queue: FakeQueue;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #intake: Intake;
  readonly #unsettled = new Set<FakeDelivery>();
  #stopped = false;

  constructor(queue: FakeQueue, subscriber: Subscriber<Delivery>, intake: Intake) {
    this.#queue = queue;
    this.#subscriber = subscriber;
    this.#intake = intake;
  }

  get groupName(): string {
    return this.#intake.group;
  }

  get queueName(): string {
    return this.#queue.name;
  }

  get hasCredit(): boolean {
    return !this.#stopped && this.#unsettled.size < this.#intake.prefetch;
  }

  take(message: ServedMessage): void {
    const delivery = new FakeDelivery(this, message);
    this.#unsettled.add(delivery);
    this.#subscriber.next(delivery);
  }

  /** Stops the intake. The stream completes when nothing is in flight. */
  stop(): void {
    this.#stopped = true;
    if (this.#unsettled.size === 0) this.end();
  }

  /** Nacks what is in flight: the subscriber has unsubscribed. */
  leave(): void {
    this.#stopped = true;
    this.#queue.removeConsumer(this);
    for (const delivery of this.#unsettled) void delivery.nack();
    this.#queue.serve();
  }

  end(): void {
    this.#queue.removeConsumer(this);
    this.#subscriber.complete();
  }

  settle(delivery: FakeDelivery, { action, isCounted, delay }: Disposition): void {
    const { id, key, payload, attempt, settled } = delivery;
    const reason = notedRejection(delivery);
    this.#unsettled.delete(delivery);
    this.#queue.settled({
      id,
      key,
      payload,
      attempt,
      group: this.groupName,
      how: settled as Settled,
      ...(action === 'requeue' && isCounted && { delay }),
      ...(reason !== undefined && { reason }),
    });
    this.#queue.serve();
    if (this.#stopped && this.#unsettled.size === 0) this.end();
  }

  rejected(): void {}

  settledAgain(): void {}
}

class FakeDelivery extends PlainDelivery {
  readonly queue: string;
  readonly id: string;
  readonly attempt: number;
  readonly publishedAt: number;
  readonly #owner: FakeConsumer;
  readonly #message: ServedMessage;

  constructor(owner: FakeConsumer, message: ServedMessage) {
    super(message.key, message.payload);
    this.queue = owner.queueName;
    this.id = message.id;
    this.attempt = message.attempt;
    this.publishedAt = message.publishedAt;
    this.#owner = owner;
    this.#message = message;
  }

  protected override get owner(): FakeConsumer {
    return this.#owner;
  }

  protected override get metadata(): Metadata {
    return this.#message;
  }

  protected override send(disposition: Disposition): Promise<boolean> {
    this.#owner.settle(this, disposition);
    return COUNTED;
  }
}
