import type { ConsumerGroup } from '../backend.js';

/** How many messages are remembered for a group. */
const MOST = 10_000;

interface Group {
  /** How many messages were published for this group only. */
  published: number;
  /** Of the last of them, in order: as which message to the group each was published. */
  readonly places: number[];
  /** When those that are delayed become due, by the clock of `performance`. */
  delayed: number[];
}

/**
 * Which of the last messages to a group went to that group only. The broker counts the messages of each queue, but does not tell how many of them are in
 * the queues of other groups, too. A queue is emptied from its head, so its newest messages are the last ones that were published.
 */
export class OneGroupMessages {
  #toAll = 0;
  readonly #groups = new Map<ConsumerGroup, Group>();

  /**
   * The broker has confirmed a message.
   * @param group the only one that gets it; undefined for all
   * @param delay in milliseconds, from now on
   */
  published(group: ConsumerGroup | undefined, delay: number): void {
    // When it is due, its place among the others is not known. A place too many would hide a message for one group.
    if (group === undefined) this.#toAll += delay > 0 ? 0 : 1;
    else if (delay === 0) this.#place(this.#groupOf(group));
    else this.#delay(this.#groupOf(group), performance.now() + delay);
  }

  /** How many of the newest messages that wait in the queue of a group, or were delivered from there, are for that group only. */
  countAmong(group: ConsumerGroup, newest: number): number {
    const known = this.#groups.get(group);
    if (known === undefined) return 0;
    this.#placeDue(known);
    const { places, published } = known;
    const oldest = this.#toAll + published - newest;
    let count = 0;
    while (count < places.length && (places[places.length - 1 - count] as number) > oldest) count++;
    return count;
  }

  #groupOf(group: ConsumerGroup): Group {
    let known = this.#groups.get(group);
    if (known === undefined) {
      known = { published: 0, places: [], delayed: [] };
      this.#groups.set(group, known);
    }
    return known;
  }

  #place(group: Group): void {
    group.published += 1;
    group.places.push(this.#toAll + group.published);
    // Taken out one by one, they would cost the square of their number.
    if (group.places.length >= 2 * MOST) group.places.splice(0, MOST);
  }

  #delay(group: Group, dueAt: number): void {
    if (group.delayed.length >= MOST) this.#placeDue(group);
    if (group.delayed.length < MOST) group.delayed.push(dueAt);
  }

  /** What is due has taken its place since the last look: it is taken for the newest. */
  #placeDue(group: Group): void {
    const now = performance.now();
    const later = group.delayed.filter((dueAt) => dueAt > now);
    for (let due = group.delayed.length - later.length; due > 0; due--) this.#place(group);
    group.delayed = later;
  }
}
