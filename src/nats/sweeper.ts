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

/** How long after a settlement the stream is swept, in milliseconds: all that is settled meanwhile goes at once. */
const PAUSE = 250;

/** How many places are kept at most of messages that were settled out of order. Beyond it, they go when all before them are settled. */
const MOST = 100_000;

/**
 * Removes from the stream what every group has settled: all up to the first message that somebody has not, at once; and one by one what this process has
 * settled beyond it, or a message that waits for its next attempt would keep all that is published after it.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  /** What this process has settled and nobody has removed yet, by consumer. */
  readonly #settled = new Map<string, Set<number>>();
  #timer: NodeJS.Timeout | undefined;
  #sweeping = false;
  #closed = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** A group has settled the message at this place. */
  settled(group: ConsumerGroup, sequence: number): void {
    const name = this.#options.names.consumer(group);
    const settled = this.#settled.get(name) ?? new Set();
    this.#settled.set(name, settled);
    if (settled.size < MOST) settled.add(sequence);
    this.#later();
  }

  /** Whether this process has settled it, and the server said so. Where that was not on the disk yet when the server failed, the message comes again. */
  isSettled(group: ConsumerGroup, sequence: number): boolean {
    return this.#settled.get(this.#options.names.consumer(group))?.has(sequence) === true;
  }

  /** Another stream has taken the place of that in which the places were. */
  forget(): void {
    this.#settled.clear();
  }

  /** For the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#settled.size > 0 && !this.#sweeping) await this.#sweep();
  }

  #later(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (!this.#sweeping) void this.#sweep();
    }, PAUSE);
  }

  async #sweep(): Promise<void> {
    const { connection, topology } = this.#options;
    const { link } = connection;
    if (link === undefined || !connection.isReady) return;
    this.#sweeping = true;
    try {
      const { floor, floors } = await topology.sweep(link);
      for (const [name, settled] of this.#settled) {
        for (const sequence of settled) if (sequence <= floor) settled.delete(sequence);
        if (settled.size === 0) this.#settled.delete(name);
        const others = [...floors].filter(([other]) => other !== name).map(([, of]) => of);
        for (const sequence of settled) {
          if (!others.every((of) => of >= sequence)) continue;
          settled.delete(sequence);
          await topology.remove(link, sequence);
        }
      }
    } catch {
      // What is left is removed with what is settled next.
    }
    this.#sweeping = false;
    if (this.#settled.size > 0) this.#later();
  }
}
