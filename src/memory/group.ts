import type { ConsumerGroup, QueueKey, QueuePayload } from '../backend.js';
import { Heap } from '../internal/heap.js';
import { type Linked, LinkedList } from '../internal/linked-list.js';
import type { Counts, Ledger } from './ledger.js';
import { type Message, type Publication, UNPLACED } from './message.js';
import { type Details, MessageBuffer, publicationOf } from './message-buffer.js';

/** A consumer of a group. It takes messages one at a time, in turn with the others. */
export interface Consumer extends Linked {
  /**
   * Whether it uses only the payload of a message, and runs no code of the application when it
   * takes one.
   */
  readonly payloadOnly: boolean;

  /** How many messages it can take before one is settled. At least 1 while it is ready. */
  readonly credit: number;

  /**
   * Takes a message, which is in flight from then on. The group has removed the consumer from the
   * ready ones; it adds itself again when it can take another message. An error that it throws does
   * not affect other consumers.
   */
  take(key: QueueKey, payload: QueuePayload, details: Details, place: number): void;

  /** Ends the stream: the queue is closed, and the group has nothing left. */
  end(): void;
}

/** A message that waits in a group. */
export interface Waiting {
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly details: Details;
  readonly place: number;
}

/** A message that left a group without being delivered. */
export type Removed = Pick<Waiting, 'key' | 'payload' | 'place'>;

/** One group's share of a queue: its messages in order, and its consumers in turn. */
export class Group implements Counts {
  /**
   * Consumers that can take a message now. Except while they are served, there are none while a
   * message is ready.
   */
  readonly readyConsumers = new LinkedList<Consumer>();
  readonly consumers = new Set<Consumer>();
  /** Messages that a consumer can receive now. */
  ready = 0;
  inFlight = 0;
  /** Requeued messages whose delay has not passed. */
  delayed = 0;
  /** Delayed publishes that the group will get. */
  delayedPublishes = 0;
  /** Counts what the group shares with others. */
  readonly #ledger: Ledger;
  /**
   * Messages that no consumer of the group has had. Their places are behind those of all requeued
   * messages.
   */
  readonly #buffer = new MessageBuffer();
  /** Requeued messages, by place. */
  readonly #requeued = new Heap<Message>((one, other) => one.place < other.place);
  /**
   * How many messages have left the buffer: the place of the next one, unless the queue gave it one
   * for all groups.
   */
  #passed = 0;

  constructor(
    readonly name: ConsumerGroup,
    ledger: Ledger,
  ) {
    this.#ledger = ledger;
  }

  /** Whether the ready consumers can take one more message than is ready. */
  get hasCredit(): boolean {
    let credit = 0;
    let consumer = this.readyConsumers.first;
    for (; consumer !== undefined; consumer = consumer.after as Consumer | undefined) {
      credit += consumer.credit;
      if (credit > this.ready) return true;
    }
    return false;
  }

  get waiting(): number {
    return this.ready + this.delayed + this.delayedPublishes;
  }

  get unfinished(): number {
    return this.waiting + this.inFlight;
  }

  /** The place of the next message. Infinity if none is ready. */
  get nextPlace(): number {
    const requeued = this.#requeued.peek();
    if (requeued !== undefined) return requeued.place;
    return this.#buffer.length > 0 ? placeOf(this.#buffer.details, this.#passed) : Number.POSITIVE_INFINITY;
  }

  /** Adds a message at the end. */
  add(key: QueueKey, payload: QueuePayload, details: Details): void {
    this.ready++;
    this.#buffer.push(key, payload, details);
  }

  /** Yields the ready messages, in order. */
  *readyMessages(): IterableIterator<Waiting> {
    for (const message of this.#requeued.sorted()) {
      yield { key: message.key, payload: message.payload, details: message, place: message.place };
    }
    let position = this.#passed;
    for (const entry of this.#buffer) yield { ...entry, place: placeOf(entry.details, position++) };
  }

  /** Delivers the first message to a consumer. Only while `ready > 0`. */
  deliverTo(consumer: Consumer): void {
    this.ready--;
    if (this.#requeued.length > 0) {
      this.#deliverRequeued(consumer);
      return;
    }
    const { key, details } = this.#buffer;
    const payload = this.#buffer.shift();
    const place = placeOf(details, this.#passed++);
    this.#countDelivery(publicationOf(details));
    consumer.take(key, payload, details, place);
  }

  /** Delivers a new message to a consumer, past the buffer. Only while `ready === 0`. */
  deliverDirectly(consumer: Consumer, key: QueueKey, payload: QueuePayload): void {
    this.inFlight++;
    consumer.take(key, payload, 0, this.#passed++);
  }

  settle(publication: Publication | undefined): void {
    this.inFlight--;
    if (publication !== undefined) this.#ledger.settled(publication);
  }

  /**
   * Requeues a message that was in flight at its old place. A `delayed` one waits for `becomeDue`.
   */
  requeue(message: Message, delayed: boolean): void {
    this.inFlight--;
    if (message.publication !== undefined) this.#ledger.requeued(message.publication);
    if (delayed) this.#countDelayed(message, 1);
    else this.#makeReady(message);
  }

  /** Makes a requeued message ready when its delay has passed. */
  becomeDue(message: Message): void {
    this.#countDelayed(message, -1);
    this.#makeReady(message);
  }

  /** Removes a requeued message whose delay has not passed. */
  removeDelayed(message: Message): void {
    this.#countDelayed(message, -1);
    this.#countRemoval(message.publication);
  }

  /** Removes the first message. Only while `ready > 0`. */
  removeFirst(): Removed {
    this.ready--;
    const requeued = this.#requeued.length > 0 ? this.#requeued.pop() : undefined;
    if (requeued !== undefined) {
      this.#countRemoval(requeued.publication);
      return requeued;
    }
    const { key, details } = this.#buffer;
    const payload = this.#buffer.shift();
    this.#countRemoval(publicationOf(details));
    return { key, payload, place: placeOf(details, this.#passed++) };
  }

  #deliverRequeued(consumer: Consumer): void {
    const message = this.#requeued.pop() as Message;
    this.#countDelivery(message.publication);
    consumer.take(message.key, message.payload, message, message.place);
  }

  #countDelayed({ publication }: Message, by: 1 | -1): void {
    this.delayed += by;
    if (publication !== undefined) this.#ledger.delayed(publication, by);
  }

  #countDelivery(publication: Publication | undefined): void {
    this.inFlight++;
    if (publication !== undefined) this.#ledger.delivered(publication);
  }

  #countRemoval(publication: Publication | undefined): void {
    if (publication !== undefined) this.#ledger.removed(publication);
  }

  #makeReady(message: Message): void {
    this.ready++;
    this.#requeued.push(message);
  }
}

/** The place of a message at this position of its group. */
function placeOf(details: Details, position: number): number {
  return typeof details === 'number' || details.place === UNPLACED ? position : details.place;
}
