import type { ConsumerGroup } from '../backend.js';

/** How many messages of a group are remembered. */
const MOST = 10_000;

interface Group {
  /** How many messages were published for this group only. */
  published: number;
  /** For the last of these, in order: how many messages to the group were published until then. */
  readonly places: number[];
  /** When the delayed ones become due, as `performance.now()`. */
  delayed: number[];
}

/**
 * Remembers which of the last messages to a group went to that group only. The broker counts the
 * messages of each queue, but not how many of them are in other queues, too. Consumers empty a
 * queue from its head, so its messages are the last ones that were published.
 */
export class OneGroupMessages {
  #toAll = 0;
  readonly #groups = new Map<ConsumerGroup, Group>();

  /**
   * @param group the only group that gets it; undefined: every group
   * @param delay in milliseconds from now
   */
  published(group: ConsumerGroup | undefined, delay: number): void {
    // The place of a delayed message is unknown. To count it would hide a message for one group.
    if (group === undefined) this.#toAll += delay > 0 ? 0 : 1;
    else if (delay === 0) this.#place(this.#groupOf(group));
    else this.#delay(this.#groupOf(group), performance.now() + delay);
  }

  /** Counts those of the `newest` messages of a group that are for that group only. */
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
    // To remove one at a time would take quadratic time.
    if (group.places.length >= 2 * MOST) group.places.splice(0, MOST);
  }

  #delay(group: Group, dueAt: number): void {
    if (group.delayed.length >= MOST) this.#placeDue(group);
    if (group.delayed.length < MOST) group.delayed.push(dueAt);
  }

  /** Adds the messages that have become due as the newest. */
  #placeDue(group: Group): void {
    const now = performance.now();
    const later = group.delayed.filter((dueAt) => dueAt > now);
    for (let due = group.delayed.length - later.length; due > 0; due--) this.#place(group);
    group.delayed = later;
  }
}
