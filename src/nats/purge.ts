import type { ConsumerInfo, StreamInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import type { NatsSession } from './group-session.js';
import { ACK, type Answer, nak, type Receipt, receiptOf, TERMINATE } from './leases.js';
import { type NatsLink, newInbox } from './link.js';
import { type DeliveryFacts, delayedCopyHeaders, readFacts } from './message.js';
import type { Mover } from './mover.js';
import { isFor } from './names.js';
import { isNotFound, RefusedError } from './nats-errors.js';
import { store } from './publisher.js';
import type { NatsQueue } from './queue.js';
import type { Removals } from './removals.js';
import { asMessage, deleteBetween, deleteStored, placeOf, readStored } from './stored.js';
import type { Sweeper } from './sweeper.js';

export interface PurgeOptions {
  readonly removals: Removals;
  readonly sweeper: Sweeper;
  readonly mover: Mover;
  /** By consumer. */
  readonly sessions: ReadonlyMap<string, NatsSession>;
}

/** How many messages are taken from a group at a time. */
const BATCH = 256;

/** Sequence numbers, both included. */
type Interval = readonly [first: number, last: number];

type OnRemoved = (count: number) => void;

interface Settlement {
  readonly receipt: Receipt;
  readonly answer: Answer;
}

/**
 * Removes messages that are waiting or delayed, and none that is in flight. Deletes the messages that
 * no group needs. If another group needs a message, takes it through the consumer of the purged group
 * and terminates it there.
 */
export class Purge {
  readonly #queue: NatsQueue;
  readonly #options: PurgeOptions;

  constructor(queue: NatsQueue, options: PurgeOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /**
   * Purges a group, or every group of the queue.
   * @param onRemoved called with how many more messages are removed, several times
   */
  async run(link: NatsLink, group: ConsumerGroup | undefined, onRemoved: OnRemoved): Promise<void> {
    const { names, options } = this.#queue;
    const { sweeper, removals } = this.#options;
    const wanted = group === undefined ? undefined : names.consumer(group);
    await sweeper.sweep();
    const { stream, groups, isComplete, canPurge } = await removals.groups(link);
    if (!isComplete)
      throw new RefusedError(
        `A group of queue ${JSON.stringify(options.name)} has no leader at the moment. Purge it later`,
      );
    const purged = groups.filter(({ name }) => wanted === undefined || name === wanted);
    const { first_seq, last_seq } = stream.state;
    sweeper.begin(stream.created);
    const deletable = deletableIn([first_seq, last_seq], groups, purged);
    const isFree = canPurge && purged.length === groups.length && groups.every(isQuiet);
    if (!isFree || !(await this.#purgeAll(link, first_seq, deletable, onRemoved)))
      for (const [first, last] of deletable) onRemoved(await deleteBetween(link, names.stream, first, last));
    const taken = new Set<number>();
    // A message that several groups have is removed once.
    const onTaken = (sequence: number) => {
      if (!taken.has(sequence)) onRemoved(1);
      taken.add(sequence);
    };
    for (const { name } of purged) {
      await this.#terminateNacked(link, name, stream.created, onTaken);
      await this.#takeWaiting(link, name, stream, onTaken);
    }
    await sweeper.sweep();
    await this.#purgeDelayed(
      link,
      groups.filter((other) => !purged.includes(other)),
      wanted,
      onRemoved,
    );
  }

  /** Deletes a group and the messages that only it gets. Resolves to whether the group existed. */
  async deleteGroup(link: NatsLink, group: ConsumerGroup): Promise<boolean> {
    const { stream, consumer } = this.#queue.names;
    const name = consumer(group);
    try {
      await link.manager.consumers.delete(stream, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
    const { POSITIVE_INFINITY: all } = Number;
    await deleteStored(link, stream, await this.#options.removals.targetedUpTo(link, name, all, all));
    await this.#deleteDelayed(link, name, [], () => {});
    return true;
  }

  /**
   * Removes all messages with two requests: the settled ones, which do not count, and the others.
   * Resolves to whether the server accepts a purge.
   */
  async #purgeAll(
    link: NatsLink,
    begin: number,
    [interval]: readonly Interval[],
    onRemoved: OnRemoved,
  ): Promise<boolean> {
    if (interval === undefined) return true;
    const { removals } = this.#options;
    const [first, last] = interval;
    if (first > begin && (await removals.purge(link, first - 1)) === undefined) return false;
    const count = await removals.purge(link, last);
    onRemoved(count ?? 0);
    return count !== undefined;
  }

  /**
   * Terminates the messages that this process nacked with a delay. The server does not distinguish
   * those of other processes from messages in flight.
   */
  async #terminateNacked(
    link: NatsLink,
    name: string,
    created: string,
    onTaken: (sequence: number) => void,
  ): Promise<void> {
    const nacked = this.#options.sessions.get(name)?.nacked;
    const receipts = (nacked?.receipts ?? []).filter(({ stream }) => stream === created);
    await this.#settle(
      link,
      name,
      receipts.map((receipt) => ({ receipt, answer: TERMINATE })),
    );
    for (const { sequence } of receipts) {
      nacked?.delete(String(sequence));
      onTaken(sequence);
    }
  }

  /** Takes the waiting messages of a group as a consumer does, and terminates them. */
  async #takeWaiting(
    link: NatsLink,
    name: string,
    { created, state }: StreamInfo,
    onTaken: (sequence: number) => void,
  ): Promise<void> {
    const { names } = this.#queue;
    const { num_pending, num_ack_pending } = await link.manager.consumers.info(names.stream, name);
    if (num_pending + num_ack_pending === 0) return;
    for (let isPast = false; !isPast; ) {
      const messages = await pullNow(link, names.stream, name);
      isPast = messages.length === 0;
      const settlements = messages.map(({ message, facts }) => {
        const receipt = receiptOf(message, facts, created);
        if (!isFor(name, names.targetOf(message.subject))) return { receipt, answer: ACK };
        // The message was published after the purge began.
        const isNew = facts.sequence > state.last_seq;
        isPast ||= isNew;
        return { receipt, answer: isNew ? nak(0) : TERMINATE };
      });
      await this.#settle(link, name, settlements);
      for (const { receipt, answer } of settlements) if (answer === TERMINATE) onTaken(receipt.sequence);
    }
  }

  /** Settles messages. The confirm of the last one confirms all. */
  async #settle(link: NatsLink, name: string, settlements: readonly Settlement[]): Promise<void> {
    const last = settlements.at(-1);
    if (last === undefined) return;
    for (const { receipt, answer } of settlements.slice(0, -1)) link.publish(receipt.reply, answer);
    await link.request(last.receipt.reply, last.answer);
    for (const { receipt, answer } of settlements)
      if (answer === TERMINATE) this.#options.sweeper.settled(name, receipt);
  }

  async #purgeDelayed(
    link: NatsLink,
    others: readonly ConsumerInfo[],
    wanted: string | undefined,
    onRemoved: OnRemoved,
  ): Promise<void> {
    const { delayedStream } = this.#queue.names;
    const { mover } = this.#options;
    await mover.moved();
    if (wanted !== undefined && others.length > 0) {
      await this.#deleteDelayed(
        link,
        wanted,
        others.map(({ name }) => name),
        onRemoved,
      );
      mover.start();
      return;
    }
    const { state } = await link.manager.streams.info(delayedStream);
    mover.discard((sequence) => sequence <= state.last_seq);
    onRemoved(await deleteBetween(link, delayedStream, state.first_seq, state.last_seq));
  }

  /**
   * Deletes the delayed messages of a group. A message for all groups is replaced by a copy for each
   * of the others.
   */
  async #deleteDelayed(link: NatsLink, wanted: string, others: readonly string[], onRemoved: OnRemoved): Promise<void> {
    const { names } = this.#queue;
    const { mover } = this.#options;
    const deleted = new Set<number>();
    for await (const stored of readStored(link, names.delayedStream, 1)) {
      const target = names.delayedTargetOf(stored.subject);
      const delayed = names.readDelayed(stored.subject);
      if (delayed === undefined || (target !== wanted && (target !== undefined || others.length === 0))) continue;
      if (target === undefined) {
        const place = placeOf(stored);
        const rest = Math.max(1, place.storedAt + delayed.delay - mover.now);
        const copies = others.map((other) => {
          const headers = delayedCopyHeaders(asMessage(stored), place, other);
          return store(link, names.delayedSubjectFor(other, rest, delayed.subject), stored.data, headers);
        });
        await Promise.all(copies);
      }
      deleted.add(stored.seq);
    }
    mover.discard((sequence) => deleted.has(sequence));
    onRemoved(await deleteStored(link, names.delayedStream, deleted));
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

interface Arrival {
  readonly message: Msg;
  readonly facts: DeliveryFacts;
}

/** Takes a batch of messages that a consumer would get now. */
async function pullNow(link: NatsLink, stream: string, consumer: string): Promise<Arrival[]> {
  const reply = newInbox(link.connection);
  const arrived: Arrival[] = [];
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const subscription = link.connection.subscribe(reply, {
    callback: (_error, message) => {
      const facts = readFacts(message?.reply ?? '');
      if (facts !== undefined) arrived.push({ message, facts });
      if (facts === undefined || arrived.length === BATCH) end();
    },
  });
  try {
    const request = JSON.stringify({ batch: BATCH, no_wait: true });
    link.publish(`${link.api}.CONSUMER.MSG.NEXT.${stream}.${consumer}`, request, { reply });
    await link.inTime(ended);
  } finally {
    subscription.unsubscribe();
  }
  return arrived;
}
