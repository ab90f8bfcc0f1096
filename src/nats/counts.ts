import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerInfo } from '@nats-io/jetstream';
import type { ConsumerGroup, GroupInfo, QueueStats } from '../backend.js';
import { countFrom } from './counters.js';
import type { NatsSession, Share } from './group-session.js';
import type { NatsLink } from './link.js';
import type { Mover } from './mover.js';
import { readGroup } from './names.js';
import { isNotFound } from './nats-errors.js';
import type { NatsQueue } from './queue.js';
import type { Sweeper } from './sweeper.js';
import { isGroup } from './topology.js';

export interface CountsOptions {
  readonly sweeper: Sweeper;
  readonly mover: Mover;
  /** By consumer. */
  readonly sessions: ReadonlyMap<string, NatsSession>;
  readonly known: () => ReadonlySet<ConsumerGroup>;
}

/** The messages of a stream. */
interface Contents {
  readonly messages: number;
  /** How many of these only one group gets, by consumer. */
  readonly targets: ReadonlyMap<string, number>;
}

/** How often a count is repeated, and the pause before, in milliseconds. */
const MAX_COUNTS = 4;
const PAUSE = 20;

/** How often the server is asked again if its responses are from different moments. */
const MAX_ATTEMPTS = 5;

const NO_SHARE: Share = { all: 0, own: 0 };

interface StreamContents extends Contents {
  readonly first: number;
  readonly last: number;
}

interface Snapshot {
  readonly info: ConsumerInfo;
  readonly contents: StreamContents;
  /** How many undelivered messages of the consumer only other groups get. */
  readonly others: number;
}

/**
 * Counts the messages of a queue. The consumer of a group also passes the messages for one other
 * group, and the server counts them for both. A second consumer, which never pulls, tells how many
 * of these are not delivered yet.
 */
export class Counts {
  readonly #queue: NatsQueue;
  readonly #options: CountsOptions;

  constructor(queue: NatsQueue, options: CountsOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Counts a group. For a missing group, counts the messages that a new group gets. */
  async group(link: NatsLink, group: ConsumerGroup): Promise<QueueStats> {
    const delayed = await this.#withoutMoving(link);
    return this.#statsOf(this.#queue.names.consumer(group), await this.#unsettledBy(link, group), delayed);
  }

  /** Counts each group on the server and each declared one. The server does not count consumers. */
  async groups(link: NatsLink): Promise<Omit<GroupInfo, 'declared'>[]> {
    const { names, topology } = this.#queue;
    const delayed = await this.#withoutMoving(link);
    const declared = new Map(topology.groups.map((group) => [names.consumer(group), group]));
    const counts = await this.#unsettledByAll(link, topology.groups);
    return [...counts].map(([name, unsettled]) => ({
      name: declared.get(name) ?? readGroup(name) ?? name,
      ...this.#statsOf(name, unsettled, delayed),
    }));
  }

  /**
   * Counts each message of the queue once. Of the messages for all groups, the slowest group has
   * usually all that the others have. The messages for one group are added.
   */
  async all(link: NatsLink): Promise<QueueStats> {
    const { messages } = await this.#withoutMoving(link);
    const counts = [...(await this.#unsettledByAll(link, this.#options.known()))];
    return {
      ready: together(counts.map(([name, unsettled]) => this.#readyOf(name, unsettled))),
      unfinished: together(counts.map(([, unsettled]) => unsettled)) + messages,
    };
  }

  async unsettled(link: NatsLink, name: string): Promise<Share> {
    const { names } = this.#queue;
    const info = await link.manager.consumers.info(names.stream, name);
    const contents = await this.#contents(link);
    if (contents.targets.size === 0) return unsettledOf(info, contents);
    // Settled messages count until they are removed.
    await this.#options.sweeper.sweep();
    return this.#count(link, name);
  }

  async delayed({ manager }: NatsLink): Promise<Contents> {
    const { delayedStream, mover, targetedDelayed, delayedTargetOf } = this.#queue.names;
    // Not the length of the stream: after a crash, the server may have restored moved messages.
    const { num_pending, num_ack_pending } = await manager.consumers.info(delayedStream, mover);
    const messages = num_pending + num_ack_pending;
    if (messages === 0) return { messages, targets: new Map() };
    const { state } = await manager.streams.info(delayedStream, targetedDelayed);
    return { messages, targets: byTarget(state.subjects, delayedTargetOf) };
  }

  /** Comes before other counts: a message that becomes due meanwhile is not missed. */
  async #withoutMoving(link: NatsLink): Promise<Contents> {
    await this.#options.mover.moved();
    return this.delayed(link);
  }

  async #unsettledBy(link: NatsLink, group: ConsumerGroup): Promise<Share> {
    const name = this.#queue.names.consumer(group);
    try {
      return await this.unsettled(link, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#options.sweeper.sweep();
      const contents = await this.#contents(link);
      return { all: shareOf(name, contents), own: contents.targets.get(name) ?? 0 };
    }
  }

  /** Counts each group on the server and each given one; if there is none, those of the options. */
  async #unsettledByAll(link: NatsLink, groups: Iterable<ConsumerGroup>): Promise<Map<string, Share>> {
    const { names, options } = this.#queue;
    const listed = (await link.manager.consumers.list(names.stream)).filter(({ config }) => isGroup(config));
    const contents = await this.#contents(link);
    const isPlain = contents.targets.size === 0;
    if (!isPlain) await this.#options.sweeper.sweep();
    const countOf = async (info: ConsumerInfo) =>
      [info.name, isPlain ? unsettledOf(info, contents) : await this.#count(link, info.name)] as const;
    const counts = new Map(await Promise.all(listed.map(countOf)));
    const wanted = [...groups];
    for (const group of wanted.length + counts.size > 0 ? wanted : options.groups) {
      const name = names.consumer(group);
      if (!counts.has(name)) counts.set(name, await this.#unsettledBy(link, group));
    }
    return counts;
  }

  /** Counts until no message for another group is in flight: consumers acknowledge those soon. */
  async #count(link: NatsLink, name: string): Promise<Share> {
    let least: Share | undefined;
    for (let attempt = 1; ; attempt++) {
      const { info, contents, others } = await this.#snapshot(link, name);
      const count = unsettledOf(info, contents, others);
      if (least === undefined || count.all < least.all) least = count;
      const passed = contents.messages - shareOf(name, contents) - others;
      const kept = this.#options.sessions.get(name)?.kept.all ?? 0;
      if (attempt === MAX_COUNTS || passed <= 0 || info.num_ack_pending <= kept) return least;
      await sleep(PAUSE);
    }
  }

  async #snapshot(link: NatsLink, name: string): Promise<Snapshot> {
    const read = () => link.manager.consumers.info(this.#queue.names.stream, name);
    let info = await read();
    for (let attempt = 1; ; attempt++) {
      const contents = await this.#contents(link);
      const others = await this.#undeliveredToOthers(link, info, contents);
      const again = await read();
      const isSame = info.delivered.stream_seq === again.delivered.stream_seq && info.num_pending === again.num_pending;
      if (attempt === MAX_ATTEMPTS || isSame) return { info: again, contents, others };
      info = again;
    }
  }

  async #undeliveredToOthers(link: NatsLink, info: ConsumerInfo, contents: StreamContents): Promise<number> {
    const { stream, targeted, targetedTo } = this.#queue.names;
    const { name, delivered, num_pending } = info;
    const all = contents.messages - shareOf(name, contents);
    const from = delivered.stream_seq + 1;
    if (all === 0 || num_pending === 0 || from > contents.last) return 0;
    if (from <= contents.first) return all;
    const [every, own] = await Promise.all([
      countFrom(link, stream, from, targeted, 'all'),
      contents.targets.has(name) ? countFrom(link, stream, from, targetedTo(name), name) : 0,
    ]);
    // If the server refuses, as at its limit of consumers, the count is rather too high.
    return every === undefined || own === undefined ? 0 : Math.max(0, every - own);
  }

  async #contents({ manager }: NatsLink): Promise<StreamContents> {
    const { stream, targeted, targetOf } = this.#queue.names;
    const { state } = await manager.streams.info(stream, targeted);
    const { messages, first_seq: first, last_seq: last, subjects } = state;
    return { messages, first, last, targets: byTarget(subjects, targetOf) };
  }

  #statsOf(name: string, unsettled: Share, delayed: Contents): QueueStats {
    const unfinished = unsettled.all + Math.max(0, shareOf(name, delayed));
    return { ready: this.#readyOf(name, unsettled).all, unfinished };
  }

  /** Counts the messages of a group that a consumer may receive, as far as this process knows. */
  #readyOf(name: string, unsettled: Share): Share {
    const kept = this.#options.sessions.get(name)?.kept ?? NO_SHARE;
    const all = Math.max(0, unsettled.all - kept.all);
    return { all, own: Math.min(all, Math.max(0, unsettled.own - kept.own)) };
  }
}

function unsettledOf({ name, num_pending, num_ack_pending }: ConsumerInfo, contents: Contents, others = 0): Share {
  // Before 2.10, the numbers of a consumer may be one too high after a redelivery.
  const all = Math.max(0, Math.min(shareOf(name, contents), num_pending - others + num_ack_pending));
  return { all, own: Math.min(all, contents.targets.get(name) ?? 0) };
}

/** How many messages of the stream the group of a consumer gets. */
function shareOf(name: string, { messages, targets }: Contents): number {
  let share = messages;
  for (const [target, count] of targets) if (target !== name) share -= count;
  return share;
}

function byTarget(
  subjects: Readonly<Record<string, number>> | undefined,
  targetOf: (subject: string) => string | undefined,
): Map<string, number> {
  const targets = new Map<string, number>();
  for (const [subject, count] of Object.entries(subjects ?? {})) {
    const target = targetOf(subject);
    if (target !== undefined) targets.set(target, (targets.get(target) ?? 0) + count);
  }
  return targets;
}

/** Counts the messages of several groups once each. */
function together(shares: readonly Share[]): number {
  const own = shares.reduce((sum, share) => sum + share.own, 0);
  return own + Math.max(0, ...shares.map((share) => share.all - share.own));
}
