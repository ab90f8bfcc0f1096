import type { Subscriber } from 'rxjs';
import type { Delivery, MessageHeaders, NackOptions, QueueKey, QueuePayload, Settlement } from '../backend.js';
import { checkFakeDelay } from './fake-options.js';

/** A message that is served, complete. */
export interface ServedMessage {
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
}

/** How a delivery was settled, as it is recorded. */
export interface SettlementRecord {
  readonly message: ServedMessage;
  readonly group: string;
  readonly how: Exclude<Settlement, false>;
  readonly delay?: number;
  readonly reason?: unknown;
}

/** Serves fixed messages once each, to whoever has credit. Nothing that is given back is served again. */
export class FakeQueue {
  readonly name: string;
  readonly #waiting: ServedMessage[];
  readonly #record: (record: SettlementRecord) => void;
  /** In the order in which they are served next. */
  #consumers: FakeConsumer[] = [];
  #out = 0;
  #closed = false;
  #serving = false;

  constructor(name: string, messages: readonly ServedMessage[], record: (record: SettlementRecord) => void) {
    this.name = name;
    this.#waiting = [...messages];
    this.#record = record;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get ready(): number {
    return this.#waiting.length;
  }

  get unfinished(): number {
    return this.#waiting.length + this.#out;
  }

  join(consumer: FakeConsumer): void {
    this.#consumers.push(consumer);
    this.serve();
  }

  leave(consumer: FakeConsumer): void {
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
  }

  close(): void {
    this.#closed = true;
    for (const consumer of this.#consumers.splice(0)) consumer.end();
  }

  settled(record: SettlementRecord): void {
    this.#out--;
    this.#record(record);
  }

  /** Hands out what there is, one at a time to each in turn; then it may be over. A consumer's `next` that comes back here changes nothing. */
  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        const [consumer, message] = next;
        this.#out++;
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

/** One subscriber, and what it holds. */
export class FakeConsumer {
  readonly #queue: FakeQueue;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #group: string;
  readonly #prefetch: number;
  readonly #held = new Set<FakeDelivery>();
  #stopped = false;

  constructor(
    queue: FakeQueue,
    subscriber: Subscriber<Delivery>,
    { group, prefetch }: { readonly group: string; readonly prefetch: number },
  ) {
    this.#queue = queue;
    this.#subscriber = subscriber;
    this.#group = group;
    this.#prefetch = prefetch;
  }

  get hasCredit(): boolean {
    return !this.#stopped && this.#held.size < this.#prefetch;
  }

  take(message: ServedMessage): void {
    const delivery = new FakeDelivery(this.#queue.name, message, (how, extra) =>
      this.#settle(delivery, { message, group: this.#group, how, ...extra }),
    );
    this.#held.add(delivery);
    this.#subscriber.next(delivery);
  }

  /** Takes nothing more; ends when nothing is out. */
  stop(): void {
    this.#stopped = true;
    if (this.#held.size === 0) this.end();
  }

  /** The subscriber has left: what it holds goes back. */
  leave(): void {
    this.#stopped = true;
    this.#queue.leave(this);
    for (const delivery of this.#held) void delivery.nack();
    this.#queue.serve();
  }

  end(): void {
    this.#queue.leave(this);
    this.#subscriber.complete();
  }

  #settle(delivery: FakeDelivery, record: SettlementRecord): void {
    this.#held.delete(delivery);
    this.#queue.settled(record);
    this.#queue.serve();
    if (this.#stopped && this.#held.size === 0) this.end();
  }
}

type Settle = (how: Exclude<Settlement, false>, extra?: Pick<SettlementRecord, 'delay' | 'reason'>) => void;

class FakeDelivery implements ServedMessage {
  readonly queue: string;
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
  settled: Settlement = false;
  readonly #settle: Settle;

  constructor(queue: string, message: ServedMessage, settle: Settle) {
    this.queue = queue;
    this.id = message.id;
    this.key = message.key;
    this.payload = message.payload;
    this.headers = message.headers;
    this.attempt = message.attempt;
    this.publishedAt = message.publishedAt;
    this.#settle = settle;
  }

  async ack(): Promise<boolean> {
    return this.#first('acked');
  }

  async nack(options?: NackOptions): Promise<boolean> {
    return this.#first('retried', { delay: checkFakeDelay(options) });
  }

  async release(): Promise<boolean> {
    return this.#first('released');
  }

  async reject(reason?: unknown): Promise<boolean> {
    return this.#first('rejected', reason === undefined ? {} : { reason });
  }

  #first(...settlement: Parameters<Settle>): boolean {
    if (this.settled !== false) return false;
    this.settled = settlement[0];
    this.#settle(...settlement);
    return true;
  }
}
