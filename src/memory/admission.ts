import { type Linked, LinkedList } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';
import type { Group } from './group.js';
import type { Ledger } from './ledger.js';
import type { Message } from './message.js';
import type { RecentIds } from './recent-ids.js';

/** A message on its way into the queue. */
export interface Entering {
  readonly message: Message;
  /**
   * When the message becomes due, in milliseconds since the epoch. Undefined: it is not delayed.
   */
  readonly due: number | undefined;
  /** The groups that get the message. */
  readonly recipients: readonly Group[];
}

/**
 * Admits messages up to the capacity of a queue. Publishes wait for room, first come first served.
 */
export class Admission {
  readonly #capacity: number;
  readonly #counts: Ledger;
  readonly #recentIds: RecentIds;
  readonly #pending = new LinkedList<PendingPublish>();

  constructor(capacity: number, counts: Ledger, recentIds: RecentIds) {
    this.#capacity = capacity;
    this.#counts = counts;
    this.#recentIds = recentIds;
  }

  /** Whether a publish waits for room. */
  get hasPending(): boolean {
    return this.#pending.first !== undefined;
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

  /** Waits for room. Calls `onAborted` if the signal ends the wait. */
  wait(entering: Entering, signal: AbortSignal | undefined, onAborted: () => void): Promise<void> {
    const pending = new PendingPublish(entering, signal, () => {
      this.#pending.remove(pending);
      onAborted();
    });
    this.#pending.append(pending);
    return pending.promise;
  }

  /**
   * Admits the publish that has waited longest, if there is room for it or it goes `straight` to
   * consumers. A duplicate needs no room: it does not enter.
   */
  admit(straight: (recipients: readonly Group[]) => boolean, enter: (entering: Entering) => void): boolean {
    const first = this.#pending.first;
    if (first === undefined) return false;
    const { message, due, recipients } = first.entering;
    const isDuplicate = this.#recentIds.has(message.id);
    if (!isDuplicate && this.full && !(due === undefined && straight(recipients))) return false;
    this.#pending.remove(first);
    const resolve = first.stopWaiting();
    if (!isDuplicate) enter(first.entering);
    turn.resolve(resolve, undefined);
    return true;
  }

  /** Rejects all waiting publishes. */
  rejectAll(error: () => Error): void {
    for (let first = this.#pending.first; first !== undefined; first = this.#pending.first) {
      this.#pending.remove(first);
      first.reject(error());
    }
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
