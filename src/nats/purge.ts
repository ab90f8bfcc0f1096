import type { ConsumerInfo, StoredMsg, StreamInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import { ACK, type Answer, answerAll, nak, type Receipt, receiptOf, TERMINATE } from './answers.js';
import type { NatsSession } from './group-session.js';
import { type NatsLink, newInbox } from './link.js';
import { delayedCopyHeaders, readFacts } from './message.js';
import type { Mover } from './mover.js';
import { type DelayedSubject, isFor } from './names.js';
import { isNotFound, RefusedError } from './nats-errors.js';
import { store } from './publisher.js';
import type { NatsQueue } from './queue.js';
import type { Progress, Removals } from './removals.js';
import { asMessage, deleteBetween, deleteStored, placeOf, readStored } from './stored.js';
import type { Sweeper } from './sweeper.js';

export interface PurgeOptions {
  readonly removals: Removals;
  readonly sweeper: Sweeper;
  readonly mover: Mover;
  /** By consumer. */
  readonly sessions: ReadonlyMap<string, NatsSession>;
}

const BATCH = 256;

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
    // Delayed messages first: one that is moved meanwhile is among the others.
    await this.#purgeDelayed(
      before.groups.filter((group) => !isPurged(group)),
      wanted,
    );
    const { stream, groups, canPurge } = await this.#progress();
    const purged = groups.filter(isPurged);
    const { first_seq, last_seq } = stream.state;
    sweeper.begin(stream.created);
    const deletable = deletableIn([first_seq, last_seq], groups, purged);
    const isFree = canPurge && purged.length === groups.length && groups.every(isQuiet);
    if (!isFree || !(await this.#purgeAll(first_seq, deletable)))
      for (const [first, last] of deletable)
        this.#onRemoved(await deleteBetween(this.#link, names.stream, first, last));
    for (const { name } of purged) {
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
    const { POSITIVE_INFINITY: all } = Number;
    await deleteStored(this.#link, stream, await this.#options.removals.targetedUpTo(this.#link, name, all, all));
    await this.#deleteDelayed(name, []);
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

  async #purgeDelayed(others: readonly ConsumerInfo[], wanted: string | undefined): Promise<void> {
    const { delayedStream } = this.#queue.names;
    const { mover } = this.#options;
    if (wanted !== undefined && others.length > 0) {
      const names = others.map(({ name }) => name);
      await mover.moved();
      await this.#deleteDelayed(wanted, names);
      mover.start();
      return;
    }
    const { state } = await this.#link.manager.streams.info(delayedStream);
    mover.discard((sequence) => sequence <= state.last_seq);
    await mover.moved();
    this.#onRemoved(await deleteBetween(this.#link, delayedStream, state.first_seq, state.last_seq));
  }

  /** Deletes the delayed messages of a group. Other groups get copies of those for all groups. */
  async #deleteDelayed(wanted: string, others: readonly string[]): Promise<void> {
    const { names } = this.#queue;
    const deleted = new Set<number>();
    for await (const stored of readStored(this.#link, names.delayedStream, 1)) {
      const target = names.delayedTargetOf(stored.subject);
      const delayed = names.readDelayed(stored.subject);
      if (delayed === undefined || (target !== wanted && (target !== undefined || others.length === 0))) continue;
      if (target === undefined) await this.#copy(stored, delayed, others);
      deleted.add(stored.seq);
    }
    this.#options.mover.discard((sequence) => deleted.has(sequence));
    this.#onRemoved(await deleteStored(this.#link, names.delayedStream, deleted));
  }

  async #copy(stored: StoredMsg, { delay, subject }: DelayedSubject, groups: readonly string[]): Promise<void> {
    const place = placeOf(stored);
    const rest = Math.max(1, place.storedAt + delay - this.#options.mover.now);
    const copies = groups.map((group) => {
      const headers = delayedCopyHeaders(asMessage(stored), place, group);
      return store(this.#link, this.#queue.names.delayedSubjectFor(group, rest, subject), stored.data, headers);
    });
    await Promise.all(copies);
  }
}

/**
 * Returns the messages that may be deleted and that wait for a purged group. Messages between the
 * first unsettled message of a group and its last delivery may be in flight.
 */
function deletableIn(
  [first, last]: Interval,
  groups: readonly ConsumerInfo[],
  purged: readonly ConsumerInfo[],
): Interval[] {
  const blocked: Interval[] = groups.flatMap((group) => {
    if (!purged.includes(group)) return [[settledUpTo(group) + 1, Number.POSITIVE_INFINITY] as const];
    return isQuiet(group) ? [] : [[settledUpTo(group) + 1, group.delivered.stream_seq] as const];
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
