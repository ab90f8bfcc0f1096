import type { ConsumerGroup, QueueEntry, QueueKey, QueuePayload } from '../backend.js';
import { QueueClosedError, QueueOverflowError } from '../errors.js';
import { DONE } from '../internal/answers.js';
import type { PublishDetails } from '../internal/check-message.js';
import { describeError } from '../internal/describe.js';
import { Emissions } from '../internal/emissions.js';
import { metadataOf } from '../internal/metadata.js';
import { throwLater } from '../internal/throw-later.js';
import { turn } from '../internal/turn.js';
import { isVirtual } from '../internal/virtual-time.js';
import { Admission, type AdmittingQueue, type Entering } from './admission.js';
import { Dispatcher, type DispatchingQueue } from './dispatcher.js';
import { EntryBuffer } from './entry-buffer.js';
import type { Consumer, Group } from './group.js';
import type { Counts } from './ledger.js';
import { Message, type Publication } from './message.js';
import type { CheckedMemoryOptions } from './options.js';
import { RecentIds } from './recent-ids.js';
import { Watch } from './watch.js';

/**
 * The queue behind `MemoryBackend`. Everything takes effect within the call.
 *
 * A message enters the `EntryBuffer`, if need be after it waited for room (`Admission`). The
 * `Dispatcher` delivers it to consumers, and a settlement removes or requeues it. The code of
 * consumers and observers runs only from the dispatcher and from the emissions, while the state is
 * consistent, and never inside itself.
 */
export class MemoryQueue implements AdmittingQueue, DispatchingQueue {
  readonly options: CheckedMemoryOptions;
  /** Distinguishes this queue from every other queue, including past ones. */
  readonly id = Math.random().toString(36).slice(2, 10);
  readonly buffer: EntryBuffer;
  readonly watch: Watch;
  readonly counts: Counts;
  readonly #admission: Admission;
  readonly #dispatcher: Dispatcher;
  readonly #recentIds: RecentIds;
  readonly #copies: boolean;
  readonly #virtual: boolean;
  #consumers = 0;
  #dropped = 0;
  #closed = false;
  #discards = false;

  constructor(options: CheckedMemoryOptions) {
    const { groups, scheduler } = options;
    this.options = options;
    const emissions = new Emissions();
    this.buffer = new EntryBuffer({ groups, scheduler, emissions, queueId: this.id, onDue: () => this.serve() });
    this.counts = this.buffer.counts;
    this.watch = new Watch(() => this.counts.unfinished, emissions);
    this.#recentIds = new RecentIds(options.dedupeWindow, scheduler);
    this.#admission = new Admission(options.capacity, this.buffer, this.#recentIds, this);
    this.#dispatcher = new Dispatcher(this.buffer, scheduler, this);
    this.#virtual = isVirtual(scheduler);
    this.#copies = options.validate === 'json';
  }

  get dropped(): number {
    return this.#dropped;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Returns the payload for a consumer: itself, or a copy as from a broker where payloads are JSON.
   */
  handOver(payload: QueuePayload): QueuePayload {
    return this.#copies ? JSON.parse(JSON.stringify(payload)) : payload;
  }

  /** Converts a time relative to the creation of the queue to milliseconds since the epoch. */
  publishedAt(relative: number): number {
    return this.buffer.createdAt + relative;
  }

  publish(key: QueueKey, payload: QueuePayload, details?: PublishDetails): Promise<void> {
    if (details?.signal?.aborted) return Promise.reject(details.signal.reason);
    if (this.#closed) return Promise.reject(this.#closedError());
    if (details !== undefined) {
      return this.#recentIds.has(details.id) ? this.#done() : this.#publish(key, payload, details);
    }
    if (this.#admission.hasPending) return this.#admission.waitPlainly(key, payload);
    const group = this.#quietGroup;
    if (group !== undefined) {
      if (this.#deliverAtOnce(group, key, payload)) return this.#virtual ? DONE : turn.doneWithLast();
      if (this.#store(group, key, payload)) return this.#done();
    }
    return this.#publish(key, payload);
  }

  /** Like `publish`, but never waits. Returns whether the queue took the message. */
  tryPublish(key: QueueKey, payload: QueuePayload): boolean {
    if (this.#closed) throw this.#closedError();
    const group = this.#admission.hasPending ? undefined : this.#quietGroup;
    if (group !== undefined && (this.#deliverAtOnce(group, key, payload) || this.#store(group, key, payload)))
      return true;
    if (!this.#admission.hasRoom(false, this.buffer.groups) && !this.#makeRoom()) return false;
    this.#enter(key, payload);
    return true;
  }

  addConsumer(consumer: Consumer, name: ConsumerGroup): Group {
    this.watch.used();
    const group = this.buffer.group(name);
    group.consumers.add(consumer);
    this.#consumers++;
    this.#dispatcher.consumerJoined();
    this.#updateTimer();
    return group;
  }

  removeConsumer(consumer: Consumer, group: Group): void {
    if (!group.consumers.delete(consumer)) return;
    group.readyConsumers.remove(consumer);
    if (--this.#consumers === 0) this.#dispatcher.cancel();
    this.#updateTimer();
  }

  /** Logs that a consumer left while `count` of its calls waited for a message. */
  waitCancelled(count: number): void {
    const { logger, name } = this.options;
    logger.debug(`A consumer of queue ${JSON.stringify(name)} left while ${count} of its calls waited for a message`, {
      queue: name,
    });
  }

  /** Removes a message that is in flight. */
  settle(group: Group, publication: Publication | undefined): void {
    group.settle(publication);
    this.#countChanged();
    if (this.#closed) this.serve();
  }

  /**
   * Requeues a message that is in flight, after a delay in milliseconds. Call `serve` after the
   * last one.
   */
  requeue(group: Group, message: Message, delay: number): void {
    if (this.#discards) this.settle(group, message.publication);
    else this.buffer.requeue(group, message, delay);
  }

  /** Delivers what can be delivered. */
  serve(): void {
    this.#dispatcher.serve();
  }

  /** Delivers to a consumer that has just subscribed, and may leave within the call. */
  serveNewcomer(hasLeft: () => boolean): void {
    this.#dispatcher.serveNewcomer(hasLeft);
  }

  /**
   * Delivers a message to a consumer that is not among the ready ones, if there is one. Returns
   * whether it did.
   */
  serveAtOnce(consumer: Consumer, group: Group): boolean {
    if (this.#dispatcher.running || group.readyConsumers.first !== undefined) return false;
    if (group.ready === 0 && !this.#admitFor(group)) return false;
    group.deliverTo(consumer);
    if (this.#admission.hasPending) {
      // No consumer of this group waits. Consumers of other groups may.
      if (this.buffer.onlyGroup !== undefined) this.admitPending();
      else this.serve();
    }
    return true;
  }

  entered(): void {
    this.#dispatcher.messageEntered();
    this.#countChanged();
  }

  /** Admits publishes while there is room. */
  admitPending(): void {
    while (this.#admission.hasPending && this.#admission.admit(allWait));
  }

  /** After `close`, ends the streams of the groups that have nothing left. */
  atRest(): void {
    if (!this.#closed) return;
    if (this.counts.unfinished === 0) this.watch.finished();
    for (const group of this.buffer.groups) {
      if (group.unfinished > 0) continue;
      for (const consumer of [...group.consumers]) consumer.end();
    }
  }

  /**
   * Reports an error that a consumer threw past RxJS. It affects neither the publisher nor other
   * consumers.
   */
  failed(error: unknown): void {
    const { logger, name } = this.options;
    const message = `A consumer of queue ${JSON.stringify(name)} failed: ${describeError(error)}`;
    logger.error(message, { queue: name, error });
    throwLater(error);
  }

  clear(): QueueEntry[] {
    const entries = this.buffer.clear();
    if (entries.length > 0) this.#countChanged();
    this.serve();
    return entries;
  }

  close(drain: boolean): void {
    const first = !this.#closed;
    this.#closed = true;
    this.#updateTimer();
    if (first) this.#admission.rejectAll(() => this.#closedError());
    if (!drain) {
      this.#discards = true;
      if (this.buffer.clear().length > 0) this.#countChanged();
    }
    if (first) {
      this.buffer.complete();
      this.watch.closed();
    }
    this.serve();
  }

  purge(name: ConsumerGroup | undefined): number {
    this.watch.used();
    const count = this.buffer.purge(name === undefined ? undefined : this.buffer.group(name));
    if (count > 0) this.#countChanged();
    this.serve();
    return count;
  }

  /**
   * The only group, while nothing observes the queue: a message without options needs neither a
   * tuple nor a record. Nearly every message enters this way.
   */
  get #quietGroup(): Group | undefined {
    return this.buffer.observed || this.watch.observed ? undefined : this.buffer.onlyGroup;
  }

  /** Delivers past the buffer, if a consumer waits for a payload. Returns whether it did. */
  #deliverAtOnce(group: Group, key: QueueKey, payload: QueuePayload): boolean {
    const consumer = group.readyConsumers.first;
    if (!consumer?.payloadOnly || this.#dispatcher.running || group.ready > 0) return false;
    group.readyConsumers.remove(consumer);
    group.deliverDirectly(consumer, key, payload);
    return true;
  }

  /** Stores a message in the buffer, if there is room. Returns whether it did. */
  #store(group: Group, key: QueueKey, payload: QueuePayload): boolean {
    if (this.#admission.full) return false;
    this.watch.used();
    this.#dispatcher.messageEntered();
    group.add(key, payload, this.buffer.now);
    if (group.readyConsumers.first !== undefined) this.serve();
    return true;
  }

  #publish(key: QueueKey, payload: QueuePayload, details?: PublishDetails): Promise<void> {
    const isDelayed = details !== undefined && details.delay > 0;
    if (!this.#admission.hasRoom(isDelayed, this.buffer.recipients(details?.group))) {
      const { overflow, name } = this.options;
      if (overflow === 'wait') return this.#waitForRoom(key, payload, details);
      if (overflow === 'error') {
        const full = `Queue ${JSON.stringify(name)} is full: ${this.counts.waiting} messages wait`;
        return Promise.reject(new QueueOverflowError(full));
      }
      if (!this.#makeRoom()) return this.#done();
    }
    this.#enter(key, payload, details);
    return this.#done();
  }

  /** Returns the promise of a publish that was taken. */
  #done(): Promise<void> {
    return this.#virtual ? DONE : turn.done();
  }

  #enter(key: QueueKey, payload: QueuePayload, details?: PublishDetails): void {
    this.watch.used();
    if (details !== undefined) this.#admission.enter(this.#record(key, payload, details));
    else {
      this.buffer.next([key, payload]);
      this.entered();
    }
    this.serve();
  }

  #record(key: QueueKey, payload: QueuePayload, details: PublishDetails): Entering {
    const { delay, group, id } = details;
    const metadata = metadataOf(details);
    const now = this.options.scheduler.now();
    const message = new Message(key, payload, metadata, now, 1, id);
    return { message, due: delay > 0 ? now + delay : undefined, recipients: this.buffer.recipients(group) };
  }

  /** Admits publishes until the group has a message. Returns whether it has one. */
  #admitFor(group: Group): boolean {
    // A duplicate is admitted without a message: the publish behind it may have one.
    while (group.ready === 0 && this.#admission.hasPending) {
      if (!this.#admission.admit((recipients) => recipients.every((recipient) => recipient === group))) break;
    }
    return group.ready > 0;
  }

  #waitForRoom(key: QueueKey, payload: QueuePayload, details: PublishDetails | undefined): Promise<void> {
    if (details === undefined) return this.#admission.waitPlainly(key, payload);
    const { logger, name } = this.options;
    return this.#admission.wait(this.#record(key, payload, details), details.signal, () => {
      logger.debug(`A publish to queue ${JSON.stringify(name)} was aborted while it waited for room`, { queue: name });
      this.serve();
    });
  }

  /**
   * Applies the overflow policy: makes room for a message, or drops that message and returns false.
   */
  #makeRoom(): boolean {
    const { overflow } = this.options;
    if (overflow === 'drop-newest') this.#dropped++;
    if (overflow !== 'drop-oldest') return false;
    while (this.#admission.full) {
      const before = this.counts.waiting;
      this.buffer.removeOldest();
      this.#dropped += before - this.counts.waiting;
    }
    return true;
  }

  #countChanged(): void {
    if (this.watch.observed) this.watch.countChanged();
  }

  /** A closed queue keeps its timer only while it has consumers, so that the process can exit. */
  #updateTimer(): void {
    if (!this.#closed) return;
    if (this.#consumers > 0) this.buffer.resume();
    else this.buffer.pause();
  }

  #closedError(): QueueClosedError {
    return new QueueClosedError(`Queue ${JSON.stringify(this.options.name)} is closed`);
  }
}

/** Whether a consumer of each group waits, with no message before this one. */
function allWait(groups: readonly Group[]): boolean {
  for (const group of groups) {
    if (group.ready > 0 || group.readyConsumers.first === undefined) return false;
  }
  return true;
}
