import type { ConsumerGroup, QueueKey, QueuePayload } from '../backend.js';
import { Heap } from '../internal/heap.js';
import { LinkedList } from '../internal/linked-list.js';
import type { Consumer } from './consumer.js';
import type { Ledger } from './ledger.js';
import { type Message, type Publication, UNPLACED } from './message.js';
import { type Details, MessageBuffer, publicationOf } from './message-buffer.js';

/** A message that left a group without being delivered. */
export interface Dropped {
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly place: number;
}

/** One group's share of a queue: what waits for it, in order, and who waits for that, in turn. */
export class Group {
  /** Consumers that can take a message now. Nobody stands in line while a message is ready, but for the moment of serving. */
  readonly line = new LinkedList<Consumer>();
  /** Everybody who is subscribed. */
  readonly consumers = new Set<Consumer>();
  /** Messages that a consumer could have now. */
  ready = 0;
  /** Messages that are out to a consumer of this group. */
  out = 0;
  /** Messages that came back and wait for a delay to pass. */
  delayed = 0;
  /** Publishes that wait for a delay to pass, and that this group gets then. */
  delayedPublishes = 0;
  readonly #ledger: Ledger;
  /** Messages that nobody of the group has had. Their places are behind those of all that came back. */
  readonly #buffer = new MessageBuffer();
  /** Messages that came back, by the place that their publication gave them. */
  readonly #returned = new Heap<Message>((one, other) => one.place < other.place);
  /** How many have left the buffer: the place of the next one, unless the queue gave it one for all groups. */
  #passed = 0;

  constructor(
    readonly name: ConsumerGroup,
    ledger: Ledger,
  ) {
    this.#ledger = ledger;
  }

  /** Whether its consumers could take one more message than is ready, without waiting for anything. */
  get hasCredit(): boolean {
    let credit = 0;
    for (let consumer = this.line.first; consumer !== undefined; consumer = consumer.after as Consumer | undefined) {
      credit += consumer.credit;
      if (credit > this.ready) return true;
    }
    return false;
  }

  /** Nothing is left, and nothing can come back. */
  get drained(): boolean {
    return this.unfinished === 0;
  }

  get unfinished(): number {
    return this.ready + this.out + this.delayed + this.delayedPublishes;
  }

  /** The place of the message that is next; Infinity without one. */
  get nextPlace(): number {
    const returned = this.#returned.peek();
    if (returned !== undefined) return returned.place;
    return this.#buffer.length > 0 ? this.#placeOf(this.#buffer.details) : Number.POSITIVE_INFINITY;
  }

  /** A message takes its place at the end. */
  add(key: QueueKey, payload: QueuePayload, details: Details): void {
    this.ready++;
    this.#buffer.push(key, payload, details);
  }

  /** Hands the first message to a consumer. Only while `ready > 0`. */
  handTo(consumer: Consumer): void {
    this.ready--;
    if (this.#returned.length > 0) {
      this.#handReturned(consumer);
      return;
    }
    const { key, details } = this.#buffer;
    const payload = this.#buffer.shift();
    const place = this.#pass(details);
    this.#sendOut(publicationOf(details));
    consumer.take(key, payload, details, place);
  }

  #handReturned(consumer: Consumer): void {
    const returned = this.#returned.pop() as Message;
    this.#sendOut(returned.publication);
    consumer.take(returned.key, returned.payload, returned, returned.place);
  }

  /** Hands a new message to a consumer, past the buffer. Only while `ready === 0`. */
  handStraightTo(consumer: Consumer, key: QueueKey, payload: QueuePayload): void {
    this.out++;
    this.#ledger.cameAndWentOut();
    consumer.take(key, payload, 0, this.#passed++);
  }

  /** A message that was out is done with. */
  settle(publication: Publication | undefined): void {
    this.out--;
    this.#ledger.settled(publication);
  }

  /** A message that was out goes back to its place; with a `delay` only after `dueAgain`. */
  takeBack(message: Message, delayed: boolean): void {
    this.out--;
    this.#ledger.cameBack(message.publication);
    if (delayed) this.#countDelayed(message, 1);
    else this.#return(message);
  }

  /** The delay of a message that came back has passed. */
  dueAgain(message: Message): void {
    this.#countDelayed(message, -1);
    this.#return(message);
  }

  /** The delay of a message that came back does not matter any more: it is dropped. */
  dropDelayed(message: Message): void {
    this.#countDelayed(message, -1);
    this.#ledger.dropped(message.publication);
  }

  /** Drops the first message. Only while `ready > 0`. */
  dropFirst(): Dropped {
    this.ready--;
    const returned = this.#returned.length > 0 ? this.#returned.pop() : undefined;
    if (returned !== undefined) {
      this.#ledger.dropped(returned.publication);
      return returned;
    }
    const { key, details } = this.#buffer;
    const payload = this.#buffer.shift();
    const place = this.#pass(details);
    this.#ledger.dropped(publicationOf(details));
    return { key, payload, place };
  }

  #countDelayed({ publication }: Message, by: 1 | -1): void {
    this.delayed += by;
    if (publication !== undefined) this.#ledger.delayed(publication, by);
  }

  #return(message: Message): void {
    this.ready++;
    this.#returned.push(message);
  }

  #sendOut(publication: Publication | undefined): void {
    this.out++;
    this.#ledger.wentOut(publication);
  }

  /** The place of a message that leaves the buffer. */
  #pass(details: Details): number {
    const place = this.#placeOf(details);
    this.#passed++;
    return place;
  }

  #placeOf(details: Details): number {
    return typeof details === 'number' || details.place === UNPLACED ? this.#passed : details.place;
  }
}
