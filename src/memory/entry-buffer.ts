import { Observable, type SchedulerLike, Subject, type TimestampProvider } from 'rxjs';
import type { ConsumerGroup, QueueEntry, QueueKey, QueuePayload } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { inContext } from '../internal/async-context.js';
import { publishClockOf } from '../internal/burst-clock.js';
import type { Emissions } from '../internal/emissions.js';
import { NO_METADATA } from '../internal/metadata.js';
import { type Delayed, Delays } from './delays.js';
import { Group, type Removed, type Waiting } from './group.js';
import { type Counts, Ledger } from './ledger.js';
import { Message, Publication, UNPLACED } from './message.js';

export interface EntryBufferOptions {
  readonly groups: 'ignored' | readonly ConsumerGroup[];
  readonly scheduler: SchedulerLike;
  readonly emissions: Emissions;
  /** Distinguishes the queue from every other queue, including past ones. */
  readonly queueId: string;
  /** Delayed messages have become ready. */
  readonly onDue: () => void;
}

/**
 * Holds the published messages that wait. It is a Subject with a buffer, as RxJS's `ReplaySubject`
 * is: `next([key, payload])` stores a message and emits the tuple, `complete()` ends the tap on it.
 *
 * Unlike that of a `ReplaySubject`, the buffer is not replayed to observers: the consumers of each
 * group take messages out.
 */
export class EntryBuffer extends Subject<QueueEntry> {
  readonly counts: Counts;
  readonly groups: readonly Group[];
  /** The group of all consumers, where groups are ignored. */
  readonly onlyGroup: Group | undefined;
  /** The times of most messages are relative to it: small integers need no heap object. */
  readonly createdAt: number;
  readonly #options: EntryBufferOptions;
  readonly #clock: TimestampProvider;
  readonly #delays: Delays;
  readonly #ledger = new Ledger();
  /** How many messages have a place, where groups are declared. */
  #placed = 0;
  #delayedPublishes = 0;

  constructor(options: EntryBufferOptions) {
    super();
    const { groups, scheduler } = options;
    this.#options = options;
    this.createdAt = scheduler.now();
    this.#clock = publishClockOf(scheduler);
    this.groups = (groups === 'ignored' ? [DEFAULT_GROUP] : groups).map((name) => new Group(name, this.#ledger));
    this.onlyGroup = groups === 'ignored' ? this.groups[0] : undefined;
    this.counts = this.onlyGroup ?? this.#ledger;
    this.#delays = new Delays(scheduler, (due) => this.#becomeDue(due));
  }

  /** The time, in milliseconds since the creation of the buffer. */
  get now(): number {
    return this.#clock.now() - this.createdAt;
  }

  /** Stores a message and emits it. */
  override next([key, payload]: QueueEntry): void {
    this.enter(key, payload, this.now);
  }

  /** Stores a message that was published at this time, by `now`, and emits it. */
  enter(key: QueueKey, payload: QueuePayload, time: number): void {
    if (this.onlyGroup !== undefined) this.onlyGroup.add(key, payload, time);
    else this.#store(new Message(key, payload, NO_METADATA, this.createdAt + time, 1), this.groups);
    if (this.observed) this.#emit([key, payload]);
  }

  /** Stores a message that has options, and emits it. `due` is in milliseconds since the epoch. */
  add(message: Message, due: number | undefined, recipients: readonly Group[]): void {
    if (due === undefined) this.#store(message, recipients);
    else {
      // `peek` shows the id before the message has a place.
      message.id ??= `${this.#options.queueId}-d${this.#delayedPublishes++}`;
      this.#countDelayedPublish(recipients, 1);
      this.#delays.add({ message, due, recipients });
    }
    if (this.observed) this.#emit([message.key, message.payload]);
  }

  override complete(): void {
    this.#options.emissions.emit(() => super.complete());
  }

  /** Returns the tap: observers run in the asynchronous context in which they subscribed. */
  override asObservable(): Observable<QueueEntry> {
    return new Observable((subscriber) => this.subscribe(inContext(subscriber)));
  }

  /**
   * Returns a group that is declared. Where groups are ignored, every name means the only group.
   */
  group(name: ConsumerGroup): Group {
    return this.onlyGroup ?? (this.groups.find((group) => group.name === name) as Group);
  }

  /** Returns the groups that get a message addressed to `name`. Undefined addresses all groups. */
  recipients(name: ConsumerGroup | undefined): readonly Group[] {
    return name === undefined || this.onlyGroup !== undefined ? this.groups : [this.group(name)];
  }

  /** Requeues a message that was in flight at its old place, after a delay in milliseconds. */
  requeue(group: Group, message: Message, delay: number): void {
    group.requeue(message, delay > 0);
    if (delay === 0) return;
    this.#delays.add({ message, due: this.#options.scheduler.now() + delay, recipients: [group] });
  }

  /**
   * Yields what waits in a group: ready messages in order, then delayed messages with their `due`.
   */
  *waiting(group: Group): IterableIterator<Waiting & { readonly due?: number }> {
    yield* group.readyMessages();
    for (const { message, due, recipients } of this.#delays.sorted()) {
      if (!recipients.includes(group)) continue;
      const { key, payload, place } = message;
      yield { key, payload, details: message, place, due };
    }
  }

  /** Removes the message that has waited longest. Delayed messages come last. */
  removeOldest(): void {
    if (this.#removeFirst() === undefined) this.#removeDelayed(this.#delays.shift());
  }

  /** Removes everything that waits or is delayed, and returns it in order. */
  clear(): QueueEntry[] {
    const entries: QueueEntry[] = [];
    const places = new Set<number>();
    for (let removed = this.#removeFirst(); removed !== undefined; removed = this.#removeFirst()) {
      if (this.onlyGroup === undefined) places.add(removed.place);
      entries.push([removed.key, removed.payload]);
    }
    for (const delayed of this.#delays.drain()) {
      this.#removeDelayed(delayed);
      const { key, payload, place } = delayed.message;
      if (places.has(place)) continue;
      if (place !== UNPLACED) places.add(place);
      entries.push([key, payload]);
    }
    return entries;
  }

  /**
   * Removes what waits or is delayed in a group, or in all groups. Returns how many messages it
   * removed.
   */
  purge(group: Group | undefined): number {
    const count = group === undefined ? this.counts.waiting : group.unfinished - group.inFlight;
    for (const purged of group === undefined ? this.groups : [group]) {
      while (purged.ready > 0) purged.removeFirst();
      for (const delayed of this.#delays.drain()) this.#removeRecipient(delayed, purged);
    }
    return count;
  }

  /** Stops the timer of delayed messages, so that it does not keep the process alive. */
  pause(): void {
    this.#delays.pause();
  }

  resume(): void {
    this.#delays.resume();
  }

  #emit(entry: QueueEntry): void {
    this.#options.emissions.emit(() => super.next(entry));
  }

  #store(message: Message, recipients: readonly Group[]): void {
    if (this.onlyGroup !== undefined) {
      this.onlyGroup.add(message.key, message.payload, message);
      return;
    }
    const { message: shared } = new Publication(message, this.#placed++);
    for (const group of recipients) {
      this.#ledger.added(shared.publication as Publication);
      group.add(shared.key, shared.payload, shared);
    }
  }

  /**
   * Removes the message with the lowest place, from each group in which it is ready. Returns
   * undefined if none is ready.
   */
  #removeFirst(): Removed | undefined {
    if (this.onlyGroup !== undefined) return this.onlyGroup.ready > 0 ? this.onlyGroup.removeFirst() : undefined;
    const place = Math.min(...this.groups.map((group) => group.nextPlace));
    let removed: Removed | undefined;
    for (const group of this.groups) {
      if (group.ready > 0 && group.nextPlace === place) removed = group.removeFirst();
    }
    return removed;
  }

  #becomeDue(due: readonly Delayed[]): void {
    for (const delayed of due) {
      const { message, recipients } = delayed;
      if (message.place === UNPLACED) {
        this.#removeDelayed(delayed);
        this.#store(message, recipients);
      } else for (const group of recipients) group.becomeDue(message);
    }
    this.#options.onDue();
  }

  /**
   * A message that has no place is a delayed publish. Any other one was delivered before, and waits
   * in its group.
   */
  #removeDelayed(delayed: Delayed | undefined): void {
    if (delayed === undefined) return;
    const { message, recipients } = delayed;
    if (message.place === UNPLACED) this.#countDelayedPublish(recipients, -1);
    else for (const group of recipients) group.removeDelayed(message);
  }

  #countDelayedPublish(recipients: readonly Group[], by: 1 | -1): void {
    this.#ledger.delayedPublishes += by;
    for (const group of recipients) group.delayedPublishes += by;
  }

  /**
   * Removes a group from the recipients of a delayed message, which was taken out of the delays.
   */
  #removeRecipient(delayed: Delayed, group: Group): void {
    const others = delayed.recipients.filter((recipient) => recipient !== group);
    if (others.length === 0) this.#removeDelayed(delayed);
    else {
      if (others.length < delayed.recipients.length) group.delayedPublishes--;
      this.#delays.add({ ...delayed, recipients: others });
    }
  }
}
