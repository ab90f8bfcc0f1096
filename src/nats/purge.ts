import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerInfo, StoredMsg, StreamInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import { ACK, type Answer, answerAll, nak, type Receipt, receiptOf, TERMINATE } from './answers.js';
import type { NatsSession } from './group-session.js';
import { type NatsLink, newInbox } from './link.js';
import { delayedCopyHeaders, readFacts } from './message.js';
import { type Mover, SOON } from './mover.js';
import { isFor } from './names.js';
import { isNotFound, RefusedError } from './nats-errors.js';
import { store } from './publisher.js';
import type { NatsQueue } from './queue.js';
import type { Progress, Removals } from './removals.js';
import { JITTER } from './server-clock.js';
import { asMessage, deleteStored, placeOf, readStored, sequencesBetween } from './stored.js';
import type { Sweeper } from './sweeper.js';

export interface PurgeOptions {
  readonly removals: Removals;
  readonly sweeper: Sweeper;
  readonly mover: Mover;
  /** By consumer. */
  readonly sessions: ReadonlyMap<string, NatsSession>;
}

const BATCH = 256;

/**
 * A message that is due within `IMMINENT` milliseconds may wait in the mover of another process,
 * which moves it also if it is deleted. The clocks of two movers differ by up to `JITTER`.
 */
const IMMINENT = SOON + JITTER + 60;

/** How late the movers may be, and the pause between two checks, in milliseconds. */
const MOVING_TIMEOUT = 1000;
const PAUSE = 20;

/** Sequence numbers, both included. */
type Interval = readonly [first: number, last: number];

/**
 * Removes messages that are waiting or delayed, and none that is in flight. Deletes the messages
 * that no group needs. If another group needs a message, takes it through the consumer of the
 * purged group and terminates it there.
 */
export class Purge {
  readonly #queue: NatsQueue;
  readonly #options: PurgeOptions;
  readonly #link: NatsLink;
  readonly #onRemoved: (count: number) => void;
  /** The messages that were terminated. One that several groups have is removed once. */
  readonly #terminated = new Set<number>();

  /** @param onRemoved called with how many more messages are removed, several times */
  constructor(queue: NatsQueue, options: PurgeOptions, link: NatsLink, onRemoved: (count: number) => void = () => {}) {
    this.#queue = queue;
    this.#options = options;
    this.#link = link;
    this.#onRemoved = onRemoved;
  }

  async run(group: ConsumerGroup | undefined): Promise<void> {
    const { names } = this.#queue;
    const { sweeper } = this.#options;
    const wanted = group === undefined ? undefined : names.consumer(group);
    await sweeper.sweep();
    const isPurged = ({ name }: ConsumerInfo) => wanted === undefined || name === wanted;
    const before = await this.#progress();
    const others = before.groups.filter((group) => !isPurged(group)).map(({ name }) => name);
    // Delayed messages first: one that is moved meanwhile is among the others.
    await this.#deleteDelayed(others.length > 0 ? wanted : undefined, others);
    const { stream, groups, canPurge } = await this.#progress();
    const purged = groups.filter(isPurged);
    const { first_seq, last_seq } = stream.state;
    sweeper.begin(stream.created);
    const isAll = purged.length === groups.length && groups.every(isQuiet);
    const deletable = deletableIn([first_seq, last_seq], groups, purged);
    const isEmptied =
      (isAll && canPurge && (await this.#purgeAll(first_seq, deletable))) ||
      ((await this.#deleteWaiting(deletable, isPurged)) && isAll);
    // A message that is taken and requeued would have one more attempt.
    for (const { name } of isEmptied ? [] : purged) {
      await this.#terminateNacked(name, stream);
      await this.#terminateWaiting(name, stream);
    }
    await sweeper.sweep();
  }

  async #progress(): Promise<Progress> {
    const progress = await this.#options.removals.progress(this.#link);
    if (progress.isComplete) return progress;
    const queue = JSON.stringify(this.#queue.options.name);
    throw new RefusedError(`A group of queue ${queue} has no leader at the moment. Purge it later`);
  }

  /** Deletes a group and the messages that only it gets. Resolves to whether the group existed. */
  async deleteGroup(group: ConsumerGroup): Promise<boolean> {
    const { stream, consumer } = this.#queue.names;
    const name = consumer(group);
    try {
      await this.#link.manager.consumers.delete(stream, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
    // Delayed messages first: one that is moved meanwhile is among the others.
    await this.#deleteDelayed(name, []);
    const { POSITIVE_INFINITY: all } = Number;
    await deleteStored(this.#link, stream, await this.#options.removals.targetedUpTo(this.#link, name, all, all));
    return true;
  }

  /**
   * Removes all messages with two requests: the settled ones, which do not count, and the others.
   * Resolves to whether the server accepts a purge.
   */
  async #purgeAll(begin: number, [interval]: readonly Interval[]): Promise<boolean> {
    if (interval === undefined) return true;
    const { removals } = this.#options;
    const [first, last] = interval;
    if (first > begin && (await removals.purge(this.#link, first - 1)) === undefined) return false;
    const count = await removals.purge(this.#link, last);
    this.#onRemoved(count ?? 0);
    return count !== undefined;
  }

  /**
   * Deletes messages that no group needs or has in flight. Begins with the last ones, and looks
   * again where the consumers are before each batch: a message that they get meanwhile stays.
   * Resolves to whether no message had to stay.
   */
  async #deleteWaiting(intervals: readonly Interval[], isPurged: (group: ConsumerInfo) => boolean): Promise<boolean> {
    const { stream } = this.#queue.names;
    let isEmptied = true;
    for (const [first, last] of intervals.toReversed()) {
      const sequences = await sequencesBetween(this.#link, stream, first, last);
      while (sequences.length > 0) {
        const { groups } = await this.#progress();
        const free = deletableIn([first, last], groups, groups.filter(isPurged));
        const batch = sequences.splice(-BATCH).reverse();
        const deletable = batch.filter((sequence) => free.some(([from, to]) => from <= sequence && sequence <= to));
        isEmptied &&= deletable.length === batch.length;
        this.#onRemoved(await deleteStored(this.#link, stream, deletable));
      }
    }
    return isEmptied;
  }

  /**
   * Terminates the messages that this process nacked with a delay. The server does not distinguish
   * those of other processes from messages in flight.
   */
  async #terminateNacked(name: string, { created }: StreamInfo): Promise<void> {
    const nacked = this.#options.sessions.get(name)?.nacked;
    const receipts = (nacked?.receipts ?? []).filter(({ stream }) => stream === created);
    await this.#settle(name, receipts, () => TERMINATE);
    for (const { sequence } of receipts) nacked?.delete(String(sequence));
  }

  /** Takes the waiting messages of a group as a consumer does, and terminates them. */
  async #terminateWaiting(name: string, { created, state }: StreamInfo): Promise<void> {
    const { names } = this.#queue;
    const { num_pending, num_ack_pending } = await this.#link.manager.consumers.info(names.stream, name);
    if (num_pending + num_ack_pending === 0) return;
    for (let isPast = false; !isPast; ) {
      const receipts = await this.#take(name, created);
      // A later message was published after the purge began.
      isPast = receipts.length === 0 || receipts.some(({ sequence }) => sequence > state.last_seq);
      await this.#settle(name, receipts, ({ subject, sequence }) => {
        if (!isFor(name, names.targetOf(subject))) return ACK;
        return sequence > state.last_seq ? nak(0) : TERMINATE;
      });
    }
  }

  /** Takes a batch of messages that a consumer would get now. */
  async #take(name: string, created: string): Promise<Receipt[]> {
    const link = this.#link;
    const reply = newInbox(link.connection);
    const receipts: Receipt[] = [];
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const receive = (_error: Error | null, message: Msg) => {
      const facts = readFacts(message?.reply ?? '');
      if (facts !== undefined) receipts.push(receiptOf(message, facts, created));
      if (facts === undefined || receipts.length === BATCH) end();
    };
    const subscription = link.connection.subscribe(reply, { callback: receive });
    try {
      const request = JSON.stringify({ batch: BATCH, no_wait: true });
      link.publish(`${link.api}.CONSUMER.MSG.NEXT.${this.#queue.names.stream}.${name}`, request, { reply });
      await link.inTime(ended);
    } finally {
      subscription.unsubscribe();
    }
    return receipts;
  }

  async #settle(name: string, receipts: readonly Receipt[], answerTo: (receipt: Receipt) => Answer): Promise<void> {
    const answers = receipts.map((receipt) => ({ receipt, answer: answerTo(receipt) }));
    await answerAll(
      this.#link,
      answers,
      ({ receipt }) => receipt.reply,
      ({ answer }) => answer,
    );
    for (const { receipt, answer } of answers) {
      if (answer !== TERMINATE) continue;
      this.#options.sweeper.settled(name, receipt);
      if (!this.#terminated.has(receipt.sequence)) this.#onRemoved(1);
      this.#terminated.add(receipt.sequence);
    }
  }

  /**
   * Deletes the delayed messages of a group, or all. Other groups get copies of those for all
   * groups. Waits until the messages that are due soon are moved, and leaves those in the stream.
   * @param wanted the consumer of the group. Undefined: deletes all delayed messages
   * @param others the consumers of the other groups. Empty: messages for all groups stay
   */
  async #deleteDelayed(wanted: string | undefined, others: readonly string[]): Promise<void> {
    const { names } = this.#queue;
    const imminent: StoredMsg[] = [];
    let batch: StoredMsg[] = [];
    const deleteBatch = async () => {
      const until = this.#options.mover.now + IMMINENT;
      imminent.push(...batch.filter((stored) => this.#dueAt(stored) <= until));
      await this.#replace(
        batch.filter((stored) => this.#dueAt(stored) > until),
        others,
      );
      batch = [];
    };
    for await (const stored of readStored(this.#link, names.delayedStream, 1)) {
      const target = names.delayedTargetOf(stored.subject);
      const isWanted = target === wanted || (target === undefined && others.length > 0);
      if (wanted !== undefined && (!isWanted || names.readDelayed(stored.subject) === undefined)) continue;
      if (batch.push(stored) === BATCH) await deleteBatch();
    }
    await deleteBatch();
    const late = await this.#awaitMoved(imminent);
    this.#options.mover.discard((sequence) => late.some(({ seq }) => seq === sequence));
    await this.#options.mover.moved();
    await this.#replace(late, others);
  }

  /** Waits until delayed messages are moved. Resolves to those that are not moved in time. */
  async #awaitMoved(messages: readonly StoredMsg[]): Promise<readonly StoredMsg[]> {
    if (messages.length === 0) return messages;
    const { delayedStream } = this.#queue.names;
    const left = messages.toSorted((one, other) => this.#dueAt(other) - this.#dueAt(one));
    const startedAt = performance.now();
    this.#options.mover.start();
    for (let last = left.at(-1); last !== undefined; last = left.at(-1)) {
      if ((await this.#link.manager.streams.getMessage(delayedStream, { seq: last.seq })) === undefined) left.pop();
      else if (performance.now() - startedAt > IMMINENT + MOVING_TIMEOUT) break;
      else await sleep(PAUSE);
    }
    return left;
  }

  /** When a delayed message is due, in milliseconds of the server's clock. */
  #dueAt(stored: StoredMsg): number {
    const { delay = Number.POSITIVE_INFINITY } = this.#queue.names.readDelayed(stored.subject) ?? {};
    return placeOf(stored).storedAt + delay;
  }

  /** Deletes delayed messages, and stores copies of those for all groups for the other groups. */
  async #replace(messages: readonly StoredMsg[], others: readonly string[]): Promise<void> {
    const { delayedStream, delayedTargetOf } = this.#queue.names;
    const shared = messages.filter(({ subject }) => delayedTargetOf(subject) === undefined);
    await Promise.all(shared.flatMap((stored) => others.map((group) => this.#copy(stored, group))));
    const sequences = messages.map(({ seq }) => seq);
    this.#onRemoved(await deleteStored(this.#link, delayedStream, sequences));
  }

  async #copy(stored: StoredMsg, group: string): Promise<void> {
    const { names } = this.#queue;
    const subject = names.readDelayed(stored.subject)?.subject ?? stored.subject;
    const rest = Math.max(1, this.#dueAt(stored) - this.#options.mover.now);
    const headers = delayedCopyHeaders(asMessage(stored), placeOf(stored), group);
    await store(this.#link, names.delayedSubjectFor(group, rest, subject), stored.data, headers);
  }
}

/**
 * Returns the messages that may be deleted and that wait for a purged group. Messages between the
 * first unsettled message of a group and its last delivery may be in flight, and soon the next
 * ones.
 */
function deletableIn(
  [first, last]: Interval,
  groups: readonly ConsumerInfo[],
  purged: readonly ConsumerInfo[],
): Interval[] {
  const blocked: Interval[] = groups.flatMap((group) => {
    if (!purged.includes(group)) return [[settledUpTo(group) + 1, Number.POSITIVE_INFINITY] as const];
    return isQuiet(group) ? [] : [[settledUpTo(group) + 1, group.delivered.stream_seq + BATCH] as const];
  });
  blocked.sort(([one], [other]) => one - other);
  const free: Interval[] = [];
  let from = Math.max(first, Math.min(...purged.map(settledUpTo)) + 1);
  for (const [begin, end] of [...blocked, [last + 1, Number.POSITIVE_INFINITY] as const]) {
    if (begin > from && from <= last) free.push([from, Math.min(last, begin - 1)]);
    from = Math.max(from, end + 1);
  }
  return free;
}

function isQuiet({ num_ack_pending }: ConsumerInfo): boolean {
  return num_ack_pending === 0;
}

/** Returns up to which message a group has settled all. */
function settledUpTo(group: ConsumerInfo): number {
  return isQuiet(group) ? group.delivered.stream_seq : group.ack_floor.stream_seq;
}
