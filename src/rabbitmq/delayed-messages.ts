import type { ConsumerGroup } from '../backend.js';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import { OneGroupMessages } from './one-group.js';

/** How many messages are remembered for a group. */
const MOST = 10_000;

/** How late a message may come while nothing fails, in milliseconds. */
const USUALLY_LATE = 1000;

/**
 * How late a message may come after a leader has failed, or a queue was full, in milliseconds. The queue that holds it tries again after
 * `dead_letter_worker_publisher_confirm_timeout`, by default three minutes, and looks for such messages only once in that time.
 */
const LATEST = 2 * 180_000 + USUALLY_LATE;

interface Group {
  readonly underway: DelayedInTransit;
  /** For each subscriber of this process: how many consumers of it the broker counts now. */
  readonly subscribers: Set<() => number>;
}

/** All that this process shares, by server and exchange. */
const shared = new Map<string, DelayedMessages>();

/**
 * The delayed messages of a queue that this process has sent, and that have not come back to it. The broker does not count a message that one of its queues
 * hands to the next one. All backends of this process with the same `url` or `client` share what they know of a queue: each may receive what another has sent.
 */
export class DelayedMessages {
  /** Shared in the same way. */
  readonly oneGroup = new OneGroupMessages();
  readonly #key: string;
  readonly #groups = new Map<ConsumerGroup, Group>();
  #users = 0;
  #disturbedAt = Number.NEGATIVE_INFINITY;

  private constructor(key: string) {
    this.#key = key;
  }

  /** To be released. */
  static of(serverId: string, exchange: string): DelayedMessages {
    const key = `${serverId} ${exchange}`;
    const delayed = shared.get(key) ?? new DelayedMessages(key);
    shared.set(key, delayed);
    delayed.#users += 1;
    return delayed;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users === 0) shared.delete(this.#key);
  }

  /** There is such a group: it gets what is published. */
  addGroup(group: ConsumerGroup): void {
    this.#groupOf(group);
  }

  /**
   * A message is sent.
   * @param delay in milliseconds, from now on
   * @param group the only one that gets it; undefined for all
   */
  sent(id: string, delay: number, group: ConsumerGroup | undefined): void {
    for (const { underway } of this.#of(group)) underway.add(id, delay);
  }

  /** It was not sent. */
  failed(id: string, group: ConsumerGroup | undefined): void {
    for (const { underway } of this.#of(group)) underway.delete(id);
  }

  /** A message has come to a subscriber of the group. */
  arrived(group: ConsumerGroup, id: string): void {
    this.#groups.get(group)?.underway.delete(id);
  }

  /** Forgets the messages on their way to a group: they were removed. */
  purged(group: ConsumerGroup): void {
    this.#groups.get(group)?.underway.clear();
  }

  /** The broker has refused a message, or a connection was lost: what is on its way now may come late. */
  disturbed(): void {
    this.#disturbedAt = performance.now();
  }

  /**
   * Adds a subscriber of this process to the group, until the function that this returns is called.
   * @param consumers how many consumers of the subscriber the broker counts at the queue of the group now
   */
  subscribed(group: ConsumerGroup, consumers: () => number): () => void {
    const { subscribers } = this.#groupOf(group);
    subscribers.add(consumers);
    return () => {
      subscribers.delete(consumers);
    };
  }

  /**
   * The ids of the messages that may be on their way to the group.
   * @param consumers how many the queue of the group has, in all processes. While other processes consume and nothing fails, one of them has what is late.
   */
  ids(group: ConsumerGroup, consumers: number): Iterable<string> {
    const { underway, subscribers } = this.#groupOf(group);
    let own = 0;
    for (const consumersOf of subscribers) own += consumersOf();
    const isTaken = consumers > own && performance.now() - this.#disturbedAt > LATEST;
    return underway.idsWithin(isTaken ? USUALLY_LATE : LATEST);
  }

  /**
   * How many messages may be late on their way to the group, refused by its queue, so that the broker counts them nowhere. 0 while nothing fails: then a
   * message that is due waits in the queue of the group. After a failure nothing tells the two apart, and one that waits is counted twice until it comes.
   */
  countLate(group: ConsumerGroup): number {
    const now = performance.now();
    if (now - this.#disturbedAt > LATEST) return 0;
    const { underway } = this.#groupOf(group);
    let count = 0;
    for (const id of underway.ids) if ((underway.dueAt(id) ?? now) <= now) count++;
    return count;
  }

  #of(group: ConsumerGroup | undefined): Iterable<Group> {
    return group === undefined ? this.#groups.values() : [this.#groupOf(group)];
  }

  #groupOf(group: ConsumerGroup): Group {
    let known = this.#groups.get(group);
    if (known === undefined) {
      known = { underway: new DelayedInTransit({ most: MOST, lateness: LATEST }), subscribers: new Set() };
      this.#groups.set(group, known);
    }
    return known;
  }
}
