import type { QueueKey, QueuePayload } from '../backend.js';
import { NOTHING, PullIterator } from '../bridge/pull-iterator.js';
import type { Linked } from '../internal/linked-list.js';
import type { Consumer, Group } from './group.js';
import type { Publication } from './message.js';
import { type Details, publicationOf } from './message-buffer.js';
import type { MemoryQueue } from './queue.js';

/**
 * Implements `consume()` with a prefetch of 1, without a delivery for each message.
 *
 * At most one message is in flight: the last one. The next call of `next()` settles it.
 */
export class PayloadIterator extends PullIterator<QueuePayload> implements Consumer {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly payloadOnly = true;
  readonly #queue: MemoryQueue;
  readonly #groupName: string;
  #group!: Group;
  #inFlight = false;
  #publication: Publication | undefined;
  /** The payload that `take` got while `pull` was running. */
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
    this.#inFlight = true;
    this.#publication = publicationOf(details);
    if (!this.awaited) {
      this.#pulled = this.#queue.handOver(payload);
      return;
    }
    this.answer(this.#queue.handOver(payload));
    if (this.awaited) this.#group.readyConsumers.append(this);
  }

  end(): void {
    this.exhaust();
  }

  protected override open(): void {
    this.#group = this.#queue.addConsumer(this, this.#groupName);
    if (this.#queue.closed) this.#queue.serve();
  }

  protected override pull(): QueuePayload | typeof NOTHING {
    if (this.#queue.serveAtOnce(this, this.#group)) {
      const payload = this.#pulled;
      this.#pulled = NOTHING;
      return payload;
    }
    if (!this.over) this.#group.readyConsumers.append(this);
    return NOTHING;
  }

  protected override shut(): void {
    this.#queue.removeConsumer(this, this.#group);
  }

  protected override doneWithLast(): void {
    if (!this.#inFlight) return;
    this.#inFlight = false;
    this.#queue.settle(this.#group, this.#publication);
  }

  protected override waitCancelled(count: number): void {
    this.#queue.waitCancelled(count);
  }
}
