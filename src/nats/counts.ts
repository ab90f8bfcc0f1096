import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerInfo } from '@nats-io/jetstream';
import type { ConsumerGroup } from '../backend.js';
import type { JetStreamApi } from './api.js';
import { countFrom } from './counters.js';
import type { NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import { isNotFound } from './nats-errors.js';
import { isGroup } from './topology.js';

/** What a group has not settled. */
export interface Unsettled {
  readonly held: number;
  /** How many of these no other group gets. */
  readonly own: number;
}

/** What waits for its time. */
export interface Delayed {
  readonly total: number;
  /** How many of these only one group gets, by the name of its consumer. */
  readonly targets: ReadonlyMap<string, number>;
}

export interface CountsOptions {
  readonly names: QueueNames;
  /** Removes what this process has settled. */
  readonly sweep: () => Promise<void>;
  /** How many messages of a group are in flight here, or were sent back from here for later. By the name of its consumer. */
  readonly kept: (consumer: string) => number;
}

/** What the stream holds. */
interface Contents {
  readonly messages: number;
  readonly first: number;
  readonly last: number;
  /** How many messages only one group gets, by the name of its consumer. */
  readonly targets: ReadonlyMap<string, number>;
}

/** What is in flight to a group may be messages that it does not get, which its consumers acknowledge at once: so often a count is repeated, after a pause in milliseconds. */
const LOOKS = 4;
const PAUSE = 20;

/** How often counts are repeated that belong to different moments. */
const TRIES = 5;

/**
 * Counts what groups have not settled. The consumer of a group passes messages that only another group gets, and the server counts them for both. A second consumer, which
 * never pulls, tells how many of these are still to come.
 */
export class Counts {
  readonly #options: CountsOptions;

  constructor(options: CountsOptions) {
    this.#options = options;
  }

  /** What a group has not settled; of one that does not exist, that with which it would begin. */
  async group(link: NatsLink, group: ConsumerGroup): Promise<Unsettled> {
    const { names, sweep } = this.#options;
    const name = names.consumer(group);
    try {
      return await this.consumer(link, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await sweep();
      const contents = await this.#contents(link);
      return { held: shareOf(name, contents), own: contents.targets.get(name) ?? 0 };
    }
  }

  /** What the group of a consumer has not settled. */
  async consumer(link: NatsLink, name: string): Promise<Unsettled> {
    const { names, sweep } = this.#options;
    const info = await link.manager.consumers.info(names.stream, name);
    const contents = await this.#contents(link);
    if (contents.targets.size === 0) return unsettled(info, contents, 0);
    // What is settled counts as there until it is removed.
    await sweep();
    return this.#look(link, name);
  }

  /** Counts what each group on the server has not settled, by the name of its consumer. Includes groups that this backend does not declare. */
  async groups(link: NatsLink): Promise<Map<string, Unsettled>> {
    const { names, sweep } = this.#options;
    const listed = (await link.manager.consumers.list(names.stream)).filter(({ config }) => isGroup(config));
    const contents = await this.#contents(link);
    if (contents.targets.size === 0) return new Map(listed.map((info) => [info.name, unsettled(info, contents, 0)]));
    await sweep();
    return new Map(await Promise.all(listed.map(async ({ name }) => [name, await this.#look(link, name)] as const)));
  }

  /** What waits for its time. */
  async delayed({ manager }: NatsLink): Promise<Delayed> {
    const { delayedStream, mover, targetedDelayed, delayedTargetOf } = this.#options.names;
    // Not what the stream holds: a server that was killed may hold what it had moved, and knows that it had.
    const { num_pending, num_ack_pending } = await manager.consumers.info(delayedStream, mover);
    const total = num_pending + num_ack_pending;
    if (total === 0) return { total, targets: new Map() };
    const { state } = await manager.streams.info(delayedStream, targetedDelayed);
    return { total, targets: byTarget(state.subjects, delayedTargetOf) };
  }

  /** Counts until nothing is in flight that the group does not get, as far as this process can tell. */
  async #look(link: NatsLink, name: string): Promise<Unsettled> {
    let least: Unsettled | undefined;
    for (let look = 1; ; look++) {
      const { info, contents, others } = await this.#moment(link, name);
      const count = unsettled(info, contents, others);
      if (least === undefined || count.held < least.held) least = count;
      const passed = contents.messages - shareOf(name, contents) - others;
      if (look === LOOKS || passed <= 0 || info.num_ack_pending <= this.#options.kept(name)) return least;
      await sleep(PAUSE);
    }
  }

  /** What the server says of a consumer and of the stream at one moment; and how many of the messages that are still to come only other groups get. */
  async #moment(
    link: NatsLink,
    name: string,
  ): Promise<{ readonly info: ConsumerInfo; readonly contents: Contents; readonly others: number }> {
    const { consumers } = link.manager;
    const { stream } = this.#options.names;
    let info = await consumers.info(stream, name);
    for (let tried = 1; ; tried++) {
      const contents = await this.#contents(link);
      const others = await this.#others(link, info, contents);
      const again = await consumers.info(stream, name);
      if (tried === TRIES || isSame(info, again)) return { info: again, contents, others };
      info = again;
    }
  }

  /** How many of the messages that a consumer has not been sent yet only other groups get. */
  async #others(link: NatsLink, { name, delivered, num_pending }: ConsumerInfo, contents: Contents): Promise<number> {
    const { stream, targeted, targetedTo } = this.#options.names;
    const all = contents.messages - shareOf(name, contents);
    const from = delivered.stream_seq + 1;
    if (all === 0 || num_pending === 0 || from > contents.last) return 0;
    if (from <= contents.first) return all;
    const [every, own] = await Promise.all([
      countFrom(link, stream, from, targeted, 'all'),
      contents.targets.has(name) ? countFrom(link, stream, from, targetedTo(name), name) : 0,
    ]);
    // A refusal, as where the stream has as many consumers as it may have: too many is counted rather than too few.
    return every === undefined || own === undefined ? 0 : Math.max(0, every - own);
  }

  async #contents({ manager }: { readonly manager: JetStreamApi }): Promise<Contents> {
    const { stream, targeted, targetOf } = this.#options.names;
    const { state } = await manager.streams.info(stream, targeted);
    return {
      messages: state.messages,
      first: state.first_seq,
      last: state.last_seq,
      targets: byTarget(state.subjects, targetOf),
    };
  }
}

/** @param others how many of the messages that are still to come only other groups get */
function unsettled(
  { name, num_pending, num_ack_pending }: ConsumerInfo,
  contents: Contents,
  others: number,
): Unsettled {
  // Before 2.10, what a consumer tells of itself may be one too many, once it has delivered a message again.
  const held = Math.max(0, Math.min(shareOf(name, contents), num_pending - others + num_ack_pending));
  return { held, own: Math.min(held, contents.targets.get(name) ?? 0) };
}

/** How many messages of the stream a group gets, or has got. */
function shareOf(consumer: string, { messages, targets }: Contents): number {
  let share = messages;
  for (const [target, count] of targets) if (target !== consumer) share -= count;
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

/** Whether nothing was sent to a consumer, and nothing came for it. */
function isSame(one: ConsumerInfo, other: ConsumerInfo): boolean {
  return one.delivered.stream_seq === other.delivered.stream_seq && one.num_pending === other.num_pending;
}
