import type { ConsumerGroup } from '../backend.js';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import { OneGroupMessages } from './one-group.js';

/** How many messages of a group are remembered. */
const MOST = 10_000;

/** How late a message may arrive while nothing fails, in milliseconds. */
const USUALLY_LATE = 1000;

/**
 * How late a message may arrive after a leader has failed, or a queue was full, in milliseconds.
 * The broker's queue tries again after `dead_letter_worker_publisher_confirm_timeout`, by default
 * three minutes, and checks only once in that time.
 */
const LATEST = 2 * 180_000 + USUALLY_LATE;

interface Group {
  readonly inTransit: DelayedInTransit;
  /** For each subscriber of this process: how many of its consumers the broker counts now. */
  readonly subscribers: Set<() => number>;
}

/** Shared within the process, by server and exchange. */
const shared = new Map<string, DelayedMessages>();

/**
 * The delayed messages that this process has sent and not received. The broker does not count a
 * message while one of its queues passes it to the next. All backends of the process with the same
 * `url` or `client` share them, because each may receive the messages of another.
 */
export class DelayedMessages {
  readonly oneGroup = new OneGroupMessages();
  readonly #key: string;
  readonly #groups = new Map<ConsumerGroup, Group>();
  #users = 0;
  #disturbedAt = Number.NEGATIVE_INFINITY;

  private constructor(key: string) {
    this.#key = key;
  }

  /** Returns the shared instance. The caller must `release()` it. */
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

  /** Adds a group that gets every message. */
  addGroup(group: ConsumerGroup): void {
    this.#groupOf(group);
  }

  /**
   * @param delay in milliseconds from now
   * @param group the only group that gets the message; undefined: every group
   */
  sent(id: string, delay: number, group: ConsumerGroup | undefined): void {
    for (const { inTransit } of this.#groupsOf(group)) inTransit.add(id, delay);
  }

  /** The message was not sent. */
  failed(id: string, group: ConsumerGroup | undefined): void {
    for (const { inTransit } of this.#groupsOf(group)) inTransit.delete(id);
  }

  arrived(group: ConsumerGroup, id: string): void {
    this.#groups.get(group)?.inTransit.delete(id);
  }

  /** The group was purged or deleted. */
  purged(group: ConsumerGroup): void {
    this.#groups.get(group)?.inTransit.clear();
  }

  /** The broker refused a message, or a connection was lost: messages in transit may be late. */
  disturbed(): void {
    this.#disturbedAt = performance.now();
  }

  /**
   * Adds a subscriber of this process. Returns a function that removes it.
   * @param consumers returns how many of its consumers the broker counts at the queue
   */
  subscribed(group: ConsumerGroup, consumers: () => number): () => void {
    const { subscribers } = this.#groupOf(group);
    subscribers.add(consumers);
    return () => {
      subscribers.delete(consumers);
    };
  }

  /**
   * The ids of the messages that may be in transit to the group.
   * @param consumers how many consumers the queue of the group has, in all processes. While other
   * processes consume and nothing fails, one of them has received a message that is late.
   */
  ids(group: ConsumerGroup, consumers: number): Iterable<string> {
    const { inTransit, subscribers } = this.#groupOf(group);
    let own = 0;
    for (const consumersOf of subscribers) own += consumersOf();
    const isTaken = consumers > own && performance.now() - this.#disturbedAt > LATEST;
    return inTransit.idsWithin(isTaken ? USUALLY_LATE : LATEST);
  }

  /**
   * Counts due messages that the queue of the group may have refused: the broker counts them
   * nowhere. While nothing fails, due messages wait in the queue, and the result is 0. After a
   * failure, a message that waits in the queue is counted twice until it arrives.
   */
  countLate(group: ConsumerGroup): number {
    const now = performance.now();
    if (now - this.#disturbedAt > LATEST) return 0;
    const { inTransit } = this.#groupOf(group);
    let count = 0;
    for (const id of inTransit.ids) if ((inTransit.dueAt(id) ?? now) <= now) count++;
    return count;
  }

  #groupsOf(group: ConsumerGroup | undefined): Iterable<Group> {
    return group === undefined ? this.#groups.values() : [this.#groupOf(group)];
  }

  #groupOf(group: ConsumerGroup): Group {
    let known = this.#groups.get(group);
    if (known === undefined) {
      known = { inTransit: new DelayedInTransit({ most: MOST, lateness: LATEST }), subscribers: new Set() };
      this.#groups.set(group, known);
    }
    return known;
  }
}
