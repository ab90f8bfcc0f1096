import type { Publication } from './message.js';

/**
 * Counts messages: those that wait and those that are out. It is the one place where they are counted.
 *
 * Where groups are declared, a message waits in several of them and is out to several of them, and still counts once: as waiting while any group has
 * it waiting, then as out until the last group has settled it.
 */
export class Ledger {
  /** Messages that wait, delayed ones included. */
  waiting = 0;
  /** Messages that are out and wait nowhere. */
  out = 0;
  /** Where groups are declared: messages that a consumer of some group could have now. */
  ready = 0;

  get unfinished(): number {
    return this.waiting + this.out;
  }

  /** A message came into the queue: into its one group, or among the delayed. */
  came(): void {
    this.waiting++;
  }

  /** A message came into the queue and is out at once. */
  cameAndWentOut(): void {
    this.out++;
  }

  /** A message waits in one more group of several. */
  shared(publication: Publication): void {
    this.#change(publication, 1, 1);
  }

  /** A message that waited in a group is out. */
  wentOut(publication: Publication | undefined): void {
    if (publication === undefined) {
      this.waiting--;
      this.out++;
    } else this.#change(publication, -1, 0);
  }

  /** A message that was out waits in its group again. */
  cameBack(publication: Publication | undefined): void {
    if (publication === undefined) {
      this.out--;
      this.waiting++;
    } else this.#change(publication, 1, 0);
  }

  /** A message that was out is settled in its group. */
  settled(publication: Publication | undefined): void {
    if (publication === undefined) this.out--;
    else this.#change(publication, 0, -1);
  }

  /** A message that waited is gone from its group, or from among the delayed. */
  dropped(publication: Publication | undefined): void {
    if (publication === undefined) this.waiting--;
    else this.#change(publication, -1, -1);
  }

  /** In one more group that a message waits in, or one less, it waits for a delay to pass. */
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
    else if (pending > 0) this.out += by;
    if (waiting > delayed) this.ready += by;
  }
}
