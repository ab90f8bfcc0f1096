import type { Publication } from './message.js';

/**
 * Counts the messages of the queue that wait and those in flight, over all groups, for `stats()`,
 * `unfinished`, `join` and the capacity. Each `Group` counts its own.
 *
 * Where groups are declared, several groups have the same message, which still counts once: as
 * waiting while it waits in any group, then as in flight until the last group has settled it.
 */
export class Ledger {
  /** Messages that wait, including delayed ones. */
  waiting = 0;
  /** Messages that are in flight and wait in no group. */
  inFlight = 0;
  /** Where groups are declared: messages that a consumer of some group can receive now. */
  ready = 0;

  get unfinished(): number {
    return this.waiting + this.inFlight;
  }

  /** Adds a message to the only group, or to the delayed ones. */
  added(): void {
    this.waiting++;
  }

  /** Adds a message that goes straight to a consumer. */
  addedInFlight(): void {
    this.inFlight++;
  }

  /** Adds a message to one more of several groups. */
  shared(publication: Publication): void {
    this.#change(publication, 1, 1);
  }

  /** A message that waited in a group is in flight. */
  delivered(publication: Publication | undefined): void {
    if (publication === undefined) {
      this.waiting--;
      this.inFlight++;
    } else this.#change(publication, -1, 0);
  }

  /** A message that was in flight waits in its group again. */
  requeued(publication: Publication | undefined): void {
    if (publication === undefined) {
      this.inFlight--;
      this.waiting++;
    } else this.#change(publication, 1, 0);
  }

  /** A message that was in flight is settled in its group. */
  settled(publication: Publication | undefined): void {
    if (publication === undefined) this.inFlight--;
    else this.#change(publication, 0, -1);
  }

  /** Removes a message that waited in a group, or among the delayed ones. */
  removed(publication: Publication | undefined): void {
    if (publication === undefined) this.waiting--;
    else this.#change(publication, -1, -1);
  }

  /** Counts one more group, or one less, in which a requeued message is delayed. */
  delayed(publication: Publication, by: 1 | -1): void {
    this.#count(publication, -1);
    publication.delayed += by;
    this.#count(publication, 1);
  }

  #change(publication: Publication, waiting: number, pending: number): void {
    this.#count(publication, -1);
    publication.waiting += waiting;
    publication.pending += pending;
    this.#count(publication, 1);
  }

  #count({ waiting, delayed, pending }: Publication, by: 1 | -1): void {
    if (waiting > 0) this.waiting += by;
    else if (pending > 0) this.inFlight += by;
    if (waiting > delayed) this.ready += by;
  }
}
