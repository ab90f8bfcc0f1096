import type { Publication } from './message.js';

/** How many messages a queue has. Where groups are ignored, the only group counts them. */
export interface Counts {
  /** Messages that wait, including delayed ones. */
  readonly waiting: number;
  /** Messages that are in flight and wait in no group. */
  readonly inFlight: number;
  /** Messages that a consumer of some group can receive now. */
  readonly ready: number;
  readonly unfinished: number;
}

/**
 * Counts the messages of a queue that declares groups, for `stats()`, `unfinished`, `join` and the
 * capacity. Each `Group` counts its own.
 *
 * Several groups have the same message, which still counts once: as waiting while it waits in any
 * group, then as in flight until the last group has settled it.
 */
export class Ledger implements Counts {
  inFlight = 0;
  ready = 0;
  /** Publishes whose delay has not passed. No group has them yet. */
  delayedPublishes = 0;
  #inGroups = 0;

  get waiting(): number {
    return this.#inGroups + this.delayedPublishes;
  }

  get unfinished(): number {
    return this.waiting + this.inFlight;
  }

  /** Adds a message to one more group. */
  added(publication: Publication): void {
    this.#change(publication, 1, 1);
  }

  /** A message that waited in a group is in flight. */
  delivered(publication: Publication): void {
    this.#change(publication, -1, 0);
  }

  /** A message that was in flight waits in its group again. */
  requeued(publication: Publication): void {
    this.#change(publication, 1, 0);
  }

  /** A message that was in flight is settled in its group. */
  settled(publication: Publication): void {
    this.#change(publication, 0, -1);
  }

  /** Removes a message that waited in a group. */
  removed(publication: Publication): void {
    this.#change(publication, -1, -1);
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
    if (waiting > 0) this.#inGroups += by;
    else if (pending > 0) this.inFlight += by;
    if (waiting > delayed) this.ready += by;
  }
}
