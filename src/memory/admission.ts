import type { ConsumerGroup } from '../backend.js';
import { LinkedList } from '../internal/linked-list.js';
import { turn } from '../internal/turn.js';
import type { Groups } from './groups.js';
import type { Ledger } from './ledger.js';
import type { Message } from './message.js';
import { PendingPublish } from './pending-publish.js';

/** The room of a queue, and the publishes that wait for it, first come first served. */
export class Admission {
  readonly #capacity: number;
  readonly #ledger: Ledger;
  readonly #groups: Groups;
  readonly #pending = new LinkedList<PendingPublish>();

  constructor(capacity: number, ledger: Ledger, groups: Groups) {
    this.#capacity = capacity;
    this.#ledger = ledger;
    this.#groups = groups;
  }

  get somebodyWaits(): boolean {
    return this.#pending.first !== undefined;
  }

  /** More messages wait than there is room for, or just as many. */
  get full(): boolean {
    return this.#ledger.waiting >= this.#capacity;
  }

  /** Whether a message may come in now: what goes straight to a consumer in each of its groups needs no room. */
  hasRoom(delayed: boolean, group: ConsumerGroup | undefined): boolean {
    return !this.somebodyWaits && (!this.full || (!delayed && this.#groups.allHaveCredit(group)));
  }

  /** Waits for room. `onGivenUp` is told when the signal ended the wait. */
  wait(
    message: Message,
    due: number | undefined,
    signal: AbortSignal | undefined,
    onGivenUp: () => void,
  ): Promise<void> {
    const pending = new PendingPublish(message, due, signal, () => {
      this.#pending.remove(pending);
      onGivenUp();
    });
    this.#pending.append(pending);
    return pending.promise;
  }

  /** Lets the first in, if there is room for it, or if the message goes `straight` to a consumer. */
  admit(
    straight: (group: ConsumerGroup | undefined) => boolean,
    enter: (message: Message, due: number | undefined) => void,
  ): boolean {
    const first = this.#pending.first;
    if (first === undefined || (this.full && !(first.due === undefined && straight(first.message.group)))) return false;
    this.#pending.remove(first);
    const resolve = first.admitted();
    enter(first.message, first.due);
    turn.resolve(resolve, undefined);
    return true;
  }

  turnAway(error: () => Error): void {
    for (let first = this.#pending.first; first !== undefined; first = this.#pending.first) {
      this.#pending.remove(first);
      first.reject(error());
    }
  }
}
