import type { ConsumerInfo, StreamInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import { ACK, type Answer, nak, TERMINATE } from './answers.js';
import type { NatsSession } from './group-session.js';
import { type Receipt, receiptOf } from './leases.js';
import { type NatsLink, newInbox } from './link.js';
import { type DeliveryFacts, delayedCopyHeaders, readFacts } from './message.js';
import type { Mover } from './mover.js';
import { isFor, type QueueNames } from './names.js';
import { RefusedError } from './nats-errors.js';
import { store } from './publisher.js';
import type { Removals } from './removals.js';
import { asMessage, deleteBetween, deleteStored, readStored, storedAt } from './stored.js';
import type { Sweeper } from './sweeper.js';

export interface PurgeOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly removals: Removals;
  readonly sweeper: Sweeper;
  readonly mover: Mover;
  /** The consumer of this process for a group, by its name on the server. */
  readonly consumer: (name: string) => NatsSession | undefined;
}

/** How many messages are taken from a group at a time. */
const TAKEN_TOGETHER = 256;

/** Sequence numbers, from the first to the last. */
type Interval = readonly [first: number, last: number];

/**
 * Removes messages that wait or are delayed, and none that is in flight. It deletes messages that no group needs. It takes a message that another group needs through the consumer of
 * the purged group, and terminates it there.
 */
export class Purge {
  readonly #options: PurgeOptions;

  constructor(options: PurgeOptions) {
    this.#options = options;
  }

  /**
   * Purges a group, or every group of the queue.
   * @param group undefined for every group
   * @param onRemoved called with how many messages are removed, several times
   */
  async run(link: NatsLink, group: ConsumerGroup | undefined, onRemoved: (count: number) => void): Promise<void> {
    const { queueName, names, sweeper, removals } = this.#options;
    const wanted = group === undefined ? undefined : names.consumer(group);
    await sweeper.sweep();
    const { stream, groups, isComplete, canPurge } = await removals.groups(link);
    if (!isComplete)
      throw new RefusedError(
        `A group of queue ${JSON.stringify(queueName)} has no leader at the moment. Purge it later`,
      );
    const purged = groups.filter(({ name }) => wanted === undefined || name === wanted);
    const { first_seq, last_seq } = stream.state;
    sweeper.begin(stream.created);
    const deletable = deletableIn([first_seq, last_seq], groups, purged);
    const isFree = canPurge && purged.length === groups.length && groups.every(isQuiet);
    const taken = new Set<number>();
    const onTaken = (sequence: number) => {
      if (!taken.has(sequence)) onRemoved(1);
      taken.add(sequence);
    };
    if (!isFree || !(await this.#purgeAll(link, first_seq, deletable, onRemoved)))
      for (const [first, last] of deletable) onRemoved(await deleteBetween(link, names.stream, first, last));
    for (const { name } of purged) {
      await this.#terminateNacked(link, name, stream.created, onTaken);
      await this.#takeWaiting(link, name, stream, onTaken);
    }
    await sweeper.sweep();
    await this.#purgeDelayed(
      link,
      wanted,
      groups.map(({ name }) => name),
      onRemoved,
    );
  }

  /** Deletes the messages that only the deleted group of a consumer got. */
  async forget(link: NatsLink, consumer: string): Promise<void> {
    const { names, removals } = this.#options;
    const { POSITIVE_INFINITY: all } = Number;
    await deleteStored(link, names.stream, await removals.targetedUpTo(link, consumer, all, all));
    await this.#deleteDelayed(link, consumer, [], () => {});
  }

  /** Removes all messages with two requests: those that are settled, which do not count, and those that wait. Resolves to whether the server does that. */
  async #purgeAll(
    link: NatsLink,
    begin: number,
    [interval]: readonly Interval[],
    onRemoved: (count: number) => void,
  ): Promise<boolean> {
    if (interval === undefined) return true;
    const { removals } = this.#options;
    const [first, last] = interval;
    if (first > begin && (await removals.purge(link, first - 1)) === undefined) return false;
    const count = await removals.purge(link, last);
    onRemoved(count ?? 0);
    return count !== undefined;
  }

  /** Terminates the messages that this process nacked with a delay. The server does not tell those of other processes from messages in flight. */
  async #terminateNacked(
    link: NatsLink,
    name: string,
    created: string,
    onTaken: (sequence: number) => void,
  ): Promise<void> {
    const away = this.#options.consumer(name)?.away;
    const receipts = (away?.receipts ?? []).filter(({ stream }) => stream === created);
    await this.#settle(
      link,
      name,
      receipts.map((receipt) => ({ receipt, answer: TERMINATE })),
    );
    for (const { sequence } of receipts) {
      away?.delete(String(sequence));
      onTaken(sequence);
    }
  }

  /** Takes the messages that are left to a group, as a consumer would, and terminates them. */
  async #takeWaiting(
    link: NatsLink,
    name: string,
    { created, state }: StreamInfo,
    onTaken: (sequence: number) => void,
  ): Promise<void> {
    const { names } = this.#options;
    const { num_pending, num_ack_pending } = await link.manager.consumers.info(names.stream, name);
    if (num_pending + num_ack_pending === 0) return;
    for (;;) {
      const messages = await pullNow(link, names.stream, name, TAKEN_TOGETHER);
      let isPast = messages.length === 0;
      const answers = messages.map(({ message, facts }) => {
        const receipt = receiptOf(message, facts, created);
        if (!isFor(name, names.targetOf(message.subject))) return { receipt, answer: ACK };
        // Published since this began.
        const isNew = facts.sequence > state.last_seq;
        isPast ||= isNew;
        return { receipt, answer: isNew ? nak(0) : TERMINATE };
      });
      await this.#settle(link, name, answers);
      for (const { receipt, answer } of answers) if (answer === TERMINATE) onTaken(receipt.sequence);
      if (isPast) return;
    }
  }

  /** Settles messages. Resolves when the server has confirmed the last one, and so all of them. */
  async #settle(link: NatsLink, name: string, answers: readonly { receipt: Receipt; answer: Answer }[]): Promise<void> {
    const last = answers.at(-1);
    if (last === undefined) return;
    for (const { receipt, answer } of answers.slice(0, -1)) link.publish(receipt.reply, answer);
    await link.request(last.receipt.reply, last.answer);
    for (const { receipt, answer } of answers) if (answer === TERMINATE) this.#options.sweeper.settled(name, receipt);
  }

  async #purgeDelayed(
    link: NatsLink,
    wanted: string | undefined,
    all: readonly string[],
    onRemoved: (count: number) => void,
  ): Promise<void> {
    const { names, mover } = this.#options;
    await mover.moved();
    const others = all.filter((name) => name !== wanted);
    if (wanted !== undefined && others.length > 0) {
      await this.#deleteDelayed(link, wanted, others, onRemoved);
      mover.start();
      return;
    }
    const { state } = await link.manager.streams.info(names.delayedStream);
    mover.discard((sequence) => sequence <= state.last_seq);
    onRemoved(await deleteBetween(link, names.delayedStream, state.first_seq, state.last_seq));
  }

  /** Deletes the delayed messages of a group. One for all groups is replaced by a copy for each of the others. */
  async #deleteDelayed(
    link: NatsLink,
    wanted: string,
    others: readonly string[],
    onRemoved: (count: number) => void,
  ): Promise<void> {
    const { names, mover } = this.#options;
    const copied = new Set<number>();
    for await (const stored of readStored(link, names.delayedStream, 1)) {
      const target = names.delayedTargetOf(stored.subject);
      const delayed = names.readDelayed(stored.subject);
      if (delayed === undefined || (target !== wanted && (target !== undefined || others.length === 0))) continue;
      if (target === undefined) {
        const place = { sequence: stored.seq, storedAt: storedAt(stored) };
        const rest = Math.max(1, place.storedAt + delayed.delay - mover.now);
        await Promise.all(
          others.map((other) =>
            store(
              link,
              names.delayedSubjectFor(other, rest, delayed.subject),
              stored.data,
              delayedCopyHeaders(asMessage(stored), place, other),
            ),
          ),
        );
      }
      copied.add(stored.seq);
    }
    mover.discard((sequence) => copied.has(sequence));
    onRemoved(await deleteStored(link, names.delayedStream, copied));
  }
}

/**
 * Returns which messages may be deleted, and wait for a purged group. Between the first message that a group has not settled and its last delivery, messages may be in flight.
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

/** Takes up to `count` messages that a consumer would get now. */
async function pullNow(link: NatsLink, stream: string, consumer: string, count: number): Promise<Arrival[]> {
  const inbox = newInbox(link.connection);
  const arrived: Arrival[] = [];
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const subscription = link.connection.subscribe(inbox, {
    callback: (_error, message) => {
      const facts = readFacts(message?.reply ?? '');
      if (facts !== undefined) arrived.push({ message, facts });
      if (facts === undefined || arrived.length === count) end();
    },
  });
  try {
    link.publish(
      `${link.api}.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
      JSON.stringify({ batch: count, no_wait: true }),
      { reply: inbox },
    );
    await link.inTime(ended);
  } finally {
    subscription.unsubscribe();
  }
  return arrived;
}
