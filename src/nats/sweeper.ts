import type { Connection } from '../core/connection.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { Refusals } from '../core/refusals.js';
import type { Logger } from '../internal/logger.js';
import type { Receipt } from './leases.js';
import type { NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import { isNotFound } from './nats-errors.js';
import type { Floors, Removals } from './removals.js';

export interface SweeperOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly removals: Removals;
  readonly connection: Connection<NatsLink>;
  /** The stream that is there is another than the one that the groups here consume from. */
  readonly onAnother: (created: string) => void;
  readonly failures: EngineErrors;
  readonly logger: Logger;
}

/** How long after a settlement the stream is swept, in milliseconds: all that is settled meanwhile goes together. */
const PAUSE = 50;

/** How long after that it is looked at again, where something is left that others have to settle first, in milliseconds. */
const LONG_PAUSE = 1000;

/**
 * How old the floors may be with which the stream is purged, in milliseconds. A purge names a place, not a stream. If the stream was deleted and created again
 * meanwhile, a purge would remove unsettled messages of the new one.
 */
const FRESH = 500;

/** How long a message is remembered that was removed, in milliseconds: a server that fails may have had neither that nor its settlement on the disk. */
const REMEMBERED = 10_000;

/** How many messages are removed at a time that some other process has settled, and had no time to remove. */
const LEFT_BEHIND = 1000;

/** How many places are kept at most of messages that were settled out of order. Beyond it, they go when all before them are settled. */
const MOST = 100_000;

/** Where messages are in the stream; and when each was stored, by which one of another stream in its place is told from it. */
type Places = Map<number, number>;

/**
 * Removes from the stream what every group has settled: what this process has settled, as soon as the other groups are past it; and what a process left behind that
 * is no more, as far as all before it is settled.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  /** When the stream was made that all places are in: in another one, they are those of other messages. */
  #stream: string | undefined;
  /** The messages that this process has settled and that are not removed yet, by consumer. */
  readonly #settled = new Map<string, Places>();
  /** Where messages are that this process has settled, and that no other group gets. */
  readonly #own = new Set<number>();
  /** The consumers that have settled such a message since the sweeper last looked for what other processes left behind. */
  readonly #unchecked = new Set<string>();
  /** What was removed lately, by consumer; and what was before that. */
  #removed = new Map<string, Places>();
  #removedBefore = new Map<string, Places>();
  #turnedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  /** When it last removed messages one by one. */
  #singledAt = performance.now();
  /** Whether the next sweep leaves nothing that can be removed. */
  #thorough = false;
  readonly #refusals: Refusals;
  #closed = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
    const { queueName: queue, logger } = options;
    const requests = `removals of settled messages from queue ${JSON.stringify(queue)}`;
    this.#refusals = new Refusals({ engine: 'NATS', queue, requests, logger });
  }

  /** A group consumes from the stream that was made then. If it is another than before, all places are forgotten. */
  begin(stream: string | undefined): void {
    if (stream === this.#stream) return;
    this.#stream = stream;
    for (const places of [this.#settled, this.#removed, this.#removedBefore, this.#own, this.#unchecked])
      places.clear();
  }

  /** The group of a consumer has settled a message, or has passed one that only another group gets. */
  settled(name: string, { stream, sequence, storedAt, subject }: Receipt): void {
    if (stream !== this.#stream) return;
    const target = this.#options.names.targetOf(subject);
    // The other group removes its message. If that group is gone, the message goes when all before it is settled.
    if (target === undefined || target === name) add(this.#settled, name, [[sequence, storedAt]]);
    if (target === name) {
      if (this.#settled.get(name)?.has(sequence) === true) this.#own.add(sequence);
      this.#unchecked.add(name);
    }
    this.#later();
  }

  /** Whether this process has settled it, and the server said so. Where that was not on the disk yet when the server failed, the message comes again. */
  isSettled(name: string, { stream, sequence, storedAt }: Pick<Receipt, 'stream' | 'sequence' | 'storedAt'>): boolean {
    if (stream !== this.#stream) return false;
    this.#turn();
    const isIn = (places: ReadonlyMap<string, Places>) => places.get(name)?.get(sequence) === storedAt;
    return isIn(this.#settled) || isIn(this.#removed) || isIn(this.#removedBefore);
  }

  /** Now, where it matters what the stream still holds. */
  async sweep(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // One that has begun knows nothing of what was settled since.
    if (this.#sweeping !== undefined) await this.#sweeping;
    if (this.#settled.size === 0) return;
    this.#thorough = true;
    await this.#sweep();
  }

  /** For the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.sweep();
  }

  stop(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #later(pause = PAUSE): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#sweep();
    }, pause);
  }

  #sweep(): Promise<void> {
    this.#sweeping ??= this.#sweepOnce().finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async #sweepOnce(): Promise<void> {
    const { connection, removals, onAnother } = this.#options;
    const { link } = connection;
    if (link === undefined || !connection.isReady) return;
    let pause = LONG_PAUSE;
    let isLeft = false;
    const stream = this.#stream;
    const thorough = this.#thorough;
    this.#thorough = false;
    // What is settled after the groups were asked for may be out of one that came into being meanwhile, and has not settled it.
    const before = new Map([...this.#settled].map(([name, places]) => [name, new Map(places)]));
    try {
      const askedAt = performance.now();
      const seen = await removals.floors(link);
      // What a missing or unknown group has settled is unknown. In another stream, the sequence numbers mean other messages.
      if (seen !== undefined && seen.created !== this.#stream) onAnother(seen.created);
      else if (seen !== undefined && stream === this.#stream) {
        const isPurged = performance.now() - askedAt <= FRESH && (await this.#purge(link, before, seen));
        const isDue = !seen.canPurge || thorough || performance.now() - this.#singledAt >= LONG_PAUSE;
        if (!isDue) isLeft = !isPurged || this.#unchecked.size > 0;
        else if (await this.#removeSingly(link, before, seen, isPurged)) pause = PAUSE;
      }
    } catch (error) {
      // What is left is removed with what is settled next.
      this.#refused(error);
    }
    if (this.#settled.size > 0 || isLeft || pause === PAUSE) this.#later(pause);
  }

  /**
   * Removes what all groups have settled with one request, if no message is in flight.
   * @returns whether it is removed
   */
  async #purge(
    link: NatsLink,
    before: ReadonlyMap<string, Places>,
    { first, floors, canPurge, isQuiet }: Floors,
  ): Promise<boolean> {
    if (!canPurge || !isQuiet) return false;
    const stream = this.#stream;
    const floor = Math.min(...floors.values());
    // A stream that never had a message, or lost its files, begins at 0. Before 2.12, a purge up to 0 removes all.
    if (floor > 0 && floor >= first) {
      if ((await this.#options.removals.purge(link, floor)) === undefined) return false;
      this.#refusals.end();
    }
    if (stream === this.#stream) this.#forget(before, (sequence) => sequence <= floor);
    return true;
  }

  /**
   * Removes messages one by one: those that this process has settled, and those that another process left behind. Where the stream can be purged, this is done once a
   * second, for a queue that is never quiet.
   * @returns whether there may be more
   */
  async #removeSingly(
    link: NatsLink,
    before: ReadonlyMap<string, Places>,
    { created, floors }: Floors,
    isPurged: boolean,
  ): Promise<boolean> {
    this.#singledAt = performance.now();
    await this.#remove(link, before, floors);
    const hasMore = await this.#removeOwn(link, floors);
    if (isPurged) return hasMore;
    const floor = Math.min(...floors.values());
    const now = await this.#options.removals.first(link);
    const left = now.created === created ? Math.min(floor - now.first + 1, LEFT_BEHIND) : 0;
    if (left > 0) await this.#delete(link, upFrom(now.first, left));
    return hasMore || left === LEFT_BEHIND;
  }

  /** Logs what keeps settled messages on the server. The connection logs its own loss, and opening the queue creates what was deleted. */
  #refused(error: unknown): void {
    if (isNotFound(error) || this.#options.failures.classify(error) === 'retryable') return;
    this.#refusals.add(error);
  }

  async #delete(link: NatsLink, sequences: readonly number[]): Promise<void> {
    await this.#options.removals.remove(link, sequences);
    // Only a removal shows that removals are not refused any more.
    this.#refusals.end();
  }

  /** Removes what this process had settled and each other group has settled too: here, or somewhere, as far as all before it is. */
  async #remove(
    link: NatsLink,
    before: ReadonlyMap<string, Places>,
    floors: ReadonlyMap<string, number>,
  ): Promise<void> {
    const known = new Set<number>();
    for (const places of before.values()) for (const sequence of places.keys()) known.add(sequence);
    const done = [...known].filter(
      (sequence) =>
        this.#own.has(sequence) ||
        [...floors].every(([name, floor]) => sequence <= floor || before.get(name)?.has(sequence) === true),
    );
    if (done.length === 0) return;
    const stream = this.#stream;
    await this.#delete(link, done);
    // Meanwhile another stream may have been found.
    if (stream !== this.#stream) return;
    const gone = new Set(done);
    this.#forget(before, (sequence) => gone.has(sequence));
  }

  /** Messages were removed: they leave `before`, and are remembered for some time. */
  #forget(before: ReadonlyMap<string, Places>, isGone: (sequence: number) => boolean): void {
    this.#turn();
    for (const [name, places] of before) {
      const removed = [...places].filter(([sequence]) => isGone(sequence));
      add(this.#removed, name, removed);
      const settled = this.#settled.get(name);
      for (const [sequence, storedAt] of removed) {
        places.delete(sequence);
        this.#own.delete(sequence);
        if (settled?.get(sequence) === storedAt) settled.delete(sequence);
      }
      if (settled?.size === 0) this.#settled.delete(name);
    }
  }

  /**
   * Removes what a process left behind that no other group gets: how far the others are says nothing about it.
   * @returns whether there may be more
   */
  async #removeOwn(link: NatsLink, floors: ReadonlyMap<string, number>): Promise<boolean> {
    const { removals } = this.#options;
    const checked = [...this.#unchecked];
    this.#unchecked.clear();
    for (const [index, name] of checked.entries()) {
      try {
        const left = await removals.targetedUpTo(link, name, floors.get(name) ?? 0, LEFT_BEHIND);
        if (left.length > 0) await this.#delete(link, left);
        if (left.length === LEFT_BEHIND) this.#unchecked.add(name);
      } catch (error) {
        for (const rest of checked.slice(index)) this.#unchecked.add(rest);
        throw error;
      }
    }
    return this.#unchecked.size > 0;
  }

  #turn(): void {
    const since = performance.now() - this.#turnedAt;
    if (since < REMEMBERED) return;
    this.#turnedAt = performance.now();
    this.#removedBefore = since < 2 * REMEMBERED ? this.#removed : new Map();
    this.#removed = new Map();
  }
}

function add(
  places: Map<string, Places>,
  name: string,
  added: readonly (readonly [sequence: number, storedAt: number])[],
): void {
  const known = places.get(name) ?? new Map();
  places.set(name, known);
  for (const [sequence, storedAt] of added) if (known.size < MOST) known.set(sequence, storedAt);
}

function upFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
