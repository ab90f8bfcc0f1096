import type { QueueKey, QueuePayload } from '../backend.js';
import { NOTHING, PullIterator } from '../bridge/pull-iterator.js';
import type { Linked } from '../internal/linked-list.js';
import type { Consumer } from './consumer.js';
import type { Group } from './group.js';
import type { Publication } from './message.js';
import { type Details, publicationOf } from './message-buffer.js';
import type { MemoryQueue } from './queue.js';

/**
 * `consume()` with a prefetch of 1: the same as over `deliveries()`, without a delivery.
 *
 * At most one payload is out, the one that was handed over last: a payload is done with when the next one is asked for.
 */
export class PayloadIterator extends PullIterator<QueuePayload> implements Consumer {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly payloadOnly = true;
  readonly #queue: MemoryQueue;
  readonly #groupName: string;
  #group!: Group;
  #out = false;
  #publication: Publication | undefined;
  /** What `pull` got from the queue. */
  #pulled: QueuePayload | typeof NOTHING = NOTHING;

  constructor(queue: MemoryQueue, group: string, signal: AbortSignal | undefined) {
    super(signal);
    this.#queue = queue;
    this.#groupName = group;
  }

  get credit(): number {
    return this.waiting;
  }

  take(_key: QueueKey, payload: QueuePayload, details: Details, _place: number): void {
    this.#out = true;
    this.#publication = publicationOf(details);
    if (this.waiting === 0) {
      this.#pulled = this.#queue.handOver(payload);
      return;
    }
    this.answer(this.#queue.handOver(payload));
    if (this.waiting > 0) this.#group.line.append(this);
  }

  end(): void {
    this.exhaust();
  }

  protected override open(): void {
    this.#group = this.#queue.enrol(this, this.#groupName);
    if (this.#queue.closed) this.#queue.serve();
  }

  protected override pull(): QueuePayload | typeof NOTHING {
    if (this.#queue.serveAtOnce(this, this.#group)) {
      const payload = this.#pulled;
      this.#pulled = NOTHING;
      return payload;
    }
    if (!this.over) this.#group.line.append(this);
    return NOTHING;
  }

  protected override shut(): void {
    this.#queue.dismiss(this, this.#group);
  }

  protected override doneWithLast(): void {
    if (!this.#out) return;
    this.#out = false;
    this.#queue.settle(this.#group, this.#publication);
  }

  protected override waitCancelled(count: number): void {
    this.#queue.waitCancelled(count);
  }
}
