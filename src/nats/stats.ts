import type { ConsumerGroup, GroupInfo, QueueStats } from '../backend.js';
import type { Counts, Delayed, Unsettled } from './counts.js';
import type { NatsLink } from './link.js';
import { type QueueNames, readGroup } from './names.js';

/** The messages of a group that no consumer can receive now, as far as this process knows. */
export interface Kept {
  readonly all: number;
  /** How many of these no other group gets. */
  readonly own: number;
}

export const NOTHING_KEPT: Kept = { all: 0, own: 0 };

export interface StatsOptions {
  readonly names: QueueNames;
  readonly counts: Counts;
  /** The groups that are declared. */
  readonly declared: () => readonly ConsumerGroup[];
  /** The groups that are declared, and those that are consumed for here. */
  readonly known: () => ReadonlySet<ConsumerGroup>;
  /** The groups that the queue is expected to have if it has none yet: its messages wait for them. */
  readonly expected: readonly ConsumerGroup[];
  readonly kept: (consumer: string) => Kept;
  /** Resolves when what is being moved now is in one place again. */
  readonly moved: () => Promise<void>;
}

/** Counts the messages of a queue. */
export class Stats {
  readonly #options: StatsOptions;

  constructor(options: StatsOptions) {
    this.#options = options;
  }

  async group(link: NatsLink, group: ConsumerGroup): Promise<QueueStats> {
    const delayed = await this.#delayed(link);
    return this.#statsOf(this.#options.names.consumer(group), await this.#options.counts.group(link, group), delayed);
  }

  /** Counts for each group on the server, and for each declared one. The server does not tell how many consumers a group has. */
  async groups(link: NatsLink): Promise<Omit<GroupInfo, 'declared'>[]> {
    const { names, declared } = this.#options;
    const delayed = await this.#delayed(link);
    const groups = new Map(declared().map((group) => [names.consumer(group), group]));
    const counts = await this.#countsWith(link, declared());
    return [...counts].map(([name, unsettled]) => ({
      name: groups.get(name) ?? readGroup(name) ?? name,
      ...this.#statsOf(name, unsettled, delayed),
    }));
  }

  /**
   * Counts each message once. Of the messages for all groups, the slowest group usually has all that the others have; messages for one group are added. Counts all
   * groups on the server, and those that are declared or consumed for here and are still missing.
   */
  async all(link: NatsLink): Promise<QueueStats> {
    const { total } = await this.#delayed(link);
    const counts = await this.#countsWith(link, this.#options.known());
    const all = [...counts].map(([name, unsettled]) => ({ unsettled, ready: this.#readyOf(name, unsettled) }));
    return {
      ready: together(all.map(({ ready }) => ready)),
      unfinished: together(all.map(({ unsettled: { held, own } }) => ({ all: held, own }))) + total,
    };
  }

  /** Counts each group on the server, and the given ones; if there is none, those that the queue will have. By the name of the consumer. */
  async #countsWith(link: NatsLink, groups: Iterable<ConsumerGroup>): Promise<Map<string, Unsettled>> {
    const { names, counts, expected } = this.#options;
    const found = await counts.groups(link);
    const wanted = [...groups];
    for (const group of wanted.length + found.size > 0 ? wanted : expected) {
      const name = names.consumer(group);
      if (!found.has(name)) found.set(name, await counts.group(link, group));
    }
    return found;
  }

  /** Counts the delayed messages, without those that this process is moving. They come first: what becomes due meanwhile is counted twice rather than not at all. */
  async #delayed(link: NatsLink): Promise<Delayed> {
    await this.#options.moved();
    return this.#options.counts.delayed(link);
  }

  #statsOf(name: string, unsettled: Unsettled, { total, targets }: Delayed): QueueStats {
    let delayed = total;
    for (const [target, count] of targets) if (target !== name) delayed -= count;
    return { ready: this.#readyOf(name, unsettled).all, unfinished: unsettled.held + Math.max(0, delayed) };
  }

  /** Counts the messages of a group that a consumer may receive, as far as this process knows. */
  #readyOf(name: string, { held, own }: Unsettled): Kept {
    const kept = this.#options.kept(name);
    const all = Math.max(0, held - kept.all);
    return { all, own: Math.min(all, Math.max(0, own - kept.own)) };
  }
}

/** Adds up the messages of several groups, each of which has some that no other group gets. */
function together(counts: readonly Kept[]): number {
  const own = counts.reduce((sum, count) => sum + count.own, 0);
  return own + Math.max(0, ...counts.map((count) => count.all - count.own));
}
