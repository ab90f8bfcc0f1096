import type { ConsumerGroup } from '../backend.js';
import type { Connection } from '../broker/connection.js';
import type { NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import type { Topology } from './topology.js';

export interface SweeperOptions {
  readonly names: QueueNames;
  readonly topology: Topology;
  readonly connection: Connection<NatsLink>;
}

/** How long after a settlement the stream is swept, in milliseconds: all that is settled meanwhile goes together. */
const PAUSE = 50;

/** How long after that it is looked at again, where something is left that others have to settle first, in milliseconds. */
const LONG_PAUSE = 1000;

/** How long a message is remembered that was removed, in milliseconds: a server that fails may have had neither that nor its settlement on the disk. */
const REMEMBERED = 10_000;

/** How many messages are removed at a time that some other process has settled, and had no time to remove. */
const LEFT_BEHIND = 1000;

/** How many places are kept at most of messages that were settled out of order. Beyond it, they go when all before them are settled. */
const MOST = 100_000;

/**
 * Removes from the stream what every group has settled: what this process has settled, as soon as the other groups are past it; and what a process left behind that
 * is no more, as far as all before it is settled.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  /** What this process has settled and nobody has removed yet, by consumer. */
  readonly #settled = new Map<string, Set<number>>();
  /** What was removed lately, by consumer; and what was before that. */
  #removed = new Map<string, Set<number>>();
  #removedBefore = new Map<string, Set<number>>();
  #turnedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #sweeping = false;
  #closed = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** A group has settled the message at this place. */
  settled(group: ConsumerGroup, sequence: number): void {
    add(this.#settled, this.#options.names.consumer(group), [sequence]);
    this.#later();
  }

  /** Whether this process has settled it, and the server said so. Where that was not on the disk yet when the server failed, the message comes again. */
  isSettled(group: ConsumerGroup, sequence: number): boolean {
    const name = this.#options.names.consumer(group);
    return [this.#settled, this.#removed, this.#removedBefore].some((places) => places.get(name)?.has(sequence) === true);
  }

  /** Another stream has taken the place of that in which the places were. */
  forget(): void {
    for (const places of [this.#settled, this.#removed, this.#removedBefore]) places.clear();
  }

  /** Now, where it matters what the stream still holds. */
  async sweep(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#settled.size > 0) await this.#sweep();
  }

  /** For the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.sweep();
  }

  #later(pause = PAUSE): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#sweep();
    }, pause);
  }

  async #sweep(): Promise<void> {
    const { connection, topology } = this.#options;
    const { link } = connection;
    if (this.#sweeping || link === undefined || !connection.isReady) return;
    this.#sweeping = true;
    let pause = LONG_PAUSE;
    try {
      const floors = await topology.floors(link);
      for (const [name, settled] of this.#settled)
        await this.#remove(
          link,
          name,
          settled,
          [...floors].filter(([other]) => other !== name),
        );
      const floor = Math.min(...floors.values());
      const first = await topology.first(link);
      const left = Math.min(floor - first + 1, LEFT_BEHIND);
      if (left > 0)
        await topology.remove(
          link,
          Array.from({ length: left }, (_, index) => first + index),
        );
      if (left === LEFT_BEHIND) pause = PAUSE;
    } catch {
      // What is left is removed with what is settled next.
    }
    this.#sweeping = false;
    if (this.#settled.size > 0 || pause === PAUSE) this.#later(pause);
  }

  /** Removes what is settled by this process and by all others. */
  async #remove(link: NatsLink, name: string, settled: Set<number>, others: readonly (readonly [name: string, floor: number])[]): Promise<void> {
    const least = Math.min(...others.map(([, floor]) => floor));
    const done = [...settled].filter((sequence) => sequence <= least);
    if (done.length === 0) return;
    await this.#options.topology.remove(link, done);
    for (const sequence of done) settled.delete(sequence);
    this.#turn();
    add(this.#removed, name, done);
  }

  #turn(): void {
    if (performance.now() - this.#turnedAt < REMEMBERED) return;
    this.#turnedAt = performance.now();
    this.#removedBefore = this.#removed;
    this.#removed = new Map();
  }
}

function add(places: Map<string, Set<number>>, name: string, sequences: readonly number[]): void {
  const known = places.get(name) ?? new Set();
  places.set(name, known);
  for (const sequence of sequences) if (known.size < MOST) known.add(sequence);
}
