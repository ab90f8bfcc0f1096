import type { QueueKey, QueuePayload } from '../backend.js';
import { BlockQueue } from '../internal/block-queue.js';
import { type Linked, LinkedList } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';
import type { EntryBuffer } from './entry-buffer.js';
import type { Group } from './group.js';
import type { Counts } from './ledger.js';
import type { Message } from './message.js';
import { MessageBuffer } from './message-buffer.js';
import type { RecentIds } from './recent-ids.js';

/** Resolves the promise of a publish. */
type Resolve = (value: void | Promise<void>) => void;

/** A message with options on its way into the queue. */
export interface Entering {
  readonly message: Message;
  /**
   * When the message becomes due, in milliseconds since the epoch. Undefined: it is not delayed.
   */
  readonly due: number | undefined;
  /** The groups that get the message. */
  readonly recipients: readonly Group[];
}

/** The queue that messages enter. Its method is no callback: V8 would not inline that. */
export interface AdmittingQueue {
  /** A message has entered the buffer. */
  entered(): void;
}

/**
 * Admits messages up to the capacity of a queue. Publishes wait for room, first come first served.
 *
 * A publish without options takes two slots while it waits: nearly all are of this kind. Others
 * take a record, because they may be aborted.
 */
export class Admission {
  readonly #capacity: number;
  readonly #buffer: EntryBuffer;
  readonly #counts: Counts;
  readonly #recentIds: RecentIds;
  readonly #queue: AdmittingQueue;
  /** Plain publishes, and what resolves the promise of each. */
  readonly #plain = new MessageBuffer();
  readonly #resolves = new BlockQueue<Resolve>();
  readonly #park = (resolve: Resolve): void => this.#resolves.push(resolve);
  /** How many plain publishes no longer wait. */
  #passed = 0;
  readonly #records = new LinkedList<PendingPublish>();

  constructor(capacity: number, buffer: EntryBuffer, recentIds: RecentIds, queue: AdmittingQueue) {
    this.#capacity = capacity;
    this.#buffer = buffer;
    this.#counts = buffer.counts;
    this.#recentIds = recentIds;
    this.#queue = queue;
  }

  /** Whether a publish waits for room. */
  get hasPending(): boolean {
    return this.#resolves.length > 0 || this.#records.first !== undefined;
  }

  /** Whether at least as many messages wait as the capacity allows. */
  get full(): boolean {
    return this.#counts.waiting >= this.#capacity;
  }

  /**
   * Whether a message can enter now. One that goes straight to a consumer of each group needs no
   * room.
   */
  hasRoom(delayed: boolean, recipients: readonly Group[]): boolean {
    return !this.hasPending && (!this.full || (!delayed && recipients.every((group) => group.hasCredit)));
  }

  /** Waits for room with a message that has no options. */
  waitPlainly(key: QueueKey, payload: QueuePayload): Promise<void> {
    this.#plain.push(key, payload, this.#buffer.now);
    return new Promise(this.#park);
  }

  /** Waits for room. Calls `onAborted` if the signal ends the wait. */
  wait(entering: Entering, signal: AbortSignal | undefined, onAborted: () => void): Promise<void> {
    const place = this.#passed + this.#resolves.length;
    const pending = new PendingPublish(entering, place, signal, () => {
      this.#records.remove(pending);
      onAborted();
    });
    this.#records.append(pending);
    return pending.promise;
  }

  /**
   * Admits the publish that has waited longest, if there is room for it or it goes `straight` to
   * consumers. A duplicate needs no room: it does not enter.
   */
  admit(straight: (recipients: readonly Group[]) => boolean): boolean {
    const record = this.#records.first;
    if (record !== undefined && record.place === this.#passed) return this.#admitRecord(record, straight);
    if (this.#resolves.length === 0 || (this.full && !straight(this.#buffer.groups))) return false;
    const { key, details } = this.#plain;
    const payload = this.#plain.shift();
    const resolve = this.#shiftResolve();
    this.#buffer.enter(key, payload, details as number);
    this.#queue.entered();
    turn.resolve(resolve, undefined);
    return true;
  }

  /** Takes a message that has options into the queue. */
  enter({ message, due, recipients }: Entering): void {
    if (message.id !== undefined) this.#recentIds.add(message.id);
    this.#buffer.add(message, due, recipients);
    this.#queue.entered();
  }

  /** Rejects all waiting publishes. */
  rejectAll(error: () => Error): void {
    while (this.hasPending) {
      const record = this.#records.first;
      if (record?.place === this.#passed) {
        this.#records.remove(record);
        record.reject(error());
      } else {
        this.#plain.shift();
        this.#shiftResolve()(Promise.reject(error()));
      }
    }
  }

  #admitRecord(record: PendingPublish, straight: (recipients: readonly Group[]) => boolean): boolean {
    const { message, due, recipients } = record.entering;
    const isDuplicate = this.#recentIds.has(message.id);
    if (!isDuplicate && this.full && !(due === undefined && straight(recipients))) return false;
    this.#records.remove(record);
    const resolve = record.stopWaiting();
    if (!isDuplicate) this.enter(record.entering);
    turn.resolve(resolve, undefined);
    return true;
  }

  #shiftResolve(): Resolve {
    this.#passed++;
    return this.#resolves.shift();
  }
}

class PendingPublish implements Linked {
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly promise: Promise<void>;
  readonly #ignoreAbort: () => void;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(
    readonly entering: Entering,
    /** How many plain publishes began to wait before it. */
    readonly place: number,
    signal: AbortSignal | undefined,
    onAborted: () => void,
  ) {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#ignoreAbort = onAbort(signal, () => {
      onAborted();
      this.#reject(signal?.reason);
    });
  }

  /** Stops to listen for an abort. Returns the function that resolves the publish. */
  stopWaiting(): () => void {
    this.#ignoreAbort();
    return this.#resolve;
  }

  reject(error: unknown): void {
    this.#ignoreAbort();
    this.#reject(error);
  }
}
