import { Refusals } from '../core/refusals.js';
import type { Receipt } from './answers.js';
import type { NatsLink } from './link.js';
import { isNotFound } from './nats-errors.js';
import type { NatsQueue } from './queue.js';
import type { Progress, Removals } from './removals.js';
import { range } from './stored.js';

/** How long after a settlement the stream is swept, in milliseconds: settlements are batched. */
const PAUSE = 50;

/** The pause if other groups must settle messages first, in milliseconds. */
const LONG_PAUSE = 1000;

/**
 * How old the progress of the groups may be for a purge, in milliseconds. A purge names a sequence
 * number, not a stream: in a stream that was created again, it would remove unsettled messages.
 */
const FRESH = 500;

/** How long a removed message is remembered, in milliseconds: a crash of the server may undo it. */
const REMEMBERED = 10_000;

const MAX_LEFT_BEHIND = 1000;

/** How many settled messages of a group are remembered. Others are removed by the floors. */
const MAX_PLACES = 100_000;

/** Messages by consumer and sequence number: when each was stored. This tells two streams apart. */
type Places = Map<string, Map<number, number>>;

interface Sweep {
  readonly link: NatsLink;
  /** What this process had settled before it asked for the progress of the groups. */
  readonly settled: Places;
  readonly progress: Progress;
}

/**
 * Removes the messages that every group has settled: those that this process settled when the other
 * groups are past them, and those that a dead process left behind when all earlier messages are
 * settled.
 */
export class Sweeper {
  readonly #queue: NatsQueue;
  readonly #removals: Removals;
  readonly #onOtherStream: (created: string) => void;
  /** When the stream of all places was created. */
  #stream: string | undefined;
  /** The messages that this process has settled and that are not removed. */
  readonly #settled: Places = new Map();
  /** Those of them that no other group gets. */
  readonly #own = new Set<number>();
  /** The consumers for which a dead process may have left behind messages for one group. */
  readonly #unchecked = new Set<string>();
  /** The messages that were removed lately, and those that were removed before. */
  #removed: Places = new Map();
  #removedBefore: Places = new Map();
  #rotatedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #removedSinglyAt = performance.now();
  /** The next sweep removes all that can be removed. */
  #isThorough = false;
  readonly #refusals: Refusals;
  #closed = false;

  /** @param onOtherStream called if the stream was created again */
  constructor(queue: NatsQueue, removals: Removals, onOtherStream: (created: string) => void) {
    this.#queue = queue;
    this.#removals = removals;
    this.#onOtherStream = onOtherStream;
    const { name, logger } = queue.options;
    const requests = `removals of settled messages from queue ${JSON.stringify(name)}`;
    this.#refusals = new Refusals({ engine: 'NATS', queue: name, requests, logger });
  }

  /** A group consumes from the stream that was created then. Forgets the places in another one. */
  begin(stream: string | undefined): void {
    if (stream === this.#stream) return;
    this.#stream = stream;
    for (const places of [this.#settled, this.#removed, this.#removedBefore, this.#own, this.#unchecked])
      places.clear();
  }

  /** The group of a consumer has settled a message, or has passed one that it does not get. */
  settled(name: string, { stream, sequence, storedAt, subject }: Receipt): void {
    if (stream !== this.#stream) return;
    const target = this.#queue.names.targetOf(subject);
    // The other group removes its message. If that group is gone, the floors remove the message.
    if (target === undefined || target === name) {
      const places = placesOf(this.#settled, name);
      if (places.size < MAX_PLACES) places.set(sequence, storedAt);
      if (target === name && places.has(sequence)) this.#own.add(sequence);
    }
    if (target === name) this.#unchecked.add(name);
    this.#later();
  }

  /** Whether the server has confirmed a settlement of this process. A crash may have undone it. */
  isSettled(name: string, { stream, sequence, storedAt }: Pick<Receipt, 'stream' | 'sequence' | 'storedAt'>): boolean {
    if (stream !== this.#stream) return false;
    this.#rotate();
    const isIn = (places: Places) => places.get(name)?.get(sequence) === storedAt;
    return isIn(this.#settled) || isIn(this.#removed) || isIn(this.#removedBefore);
  }

  /** Sweeps now, and removes all that can be removed. */
  async sweep(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // A running sweep omits what was settled since it began.
    if (this.#sweeping !== undefined) await this.#sweeping;
    if (this.#settled.size === 0) return;
    this.#isThorough = true;
    await this.#run();
  }

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
      void this.#run();
    }, pause);
  }

  #run(): Promise<void> {
    this.#sweeping ??= this.#runOnce().finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async #runOnce(): Promise<void> {
    const { connection, failures, topology, names } = this.#queue;
    const { link } = connection;
    if (link === undefined || !connection.isReady) return;
    const stream = this.#stream;
    const isThorough = this.#isThorough;
    this.#isThorough = false;
    // Later settlements do not count: a group that is created meanwhile has not settled them.
    const settled = new Map([...this.#settled].map(([name, places]) => [name, new Map(places)]));
    let pause: number | undefined;
    try {
      const askedAt = performance.now();
      const progress = await this.#removals.progress(link);
      const { created } = progress.stream;
      const { isComplete, floors } = progress;
      const hasAll =
        isComplete && floors.size > 0 && topology.groups.every((group) => floors.has(names.consumer(group)));
      // In another stream, the sequence numbers are those of other messages.
      if (hasAll && created !== this.#stream) this.#onOtherStream(created);
      else if (hasAll && stream === this.#stream) {
        const sweep = { link, settled, progress };
        const isPurged = performance.now() - askedAt <= FRESH && (await this.#purge(sweep));
        const isDue = !progress.canPurge || isThorough || performance.now() - this.#removedSinglyAt >= LONG_PAUSE;
        if (isDue && (await this.#removeSingly(sweep, isPurged))) pause = PAUSE;
        else if (!isDue && (!isPurged || this.#unchecked.size > 0)) pause = LONG_PAUSE;
      }
    } catch (error) {
      // The connection logs its own loss. Opening the queue creates a missing stream.
      if (!isNotFound(error) && failures.classify(error) !== 'retryable') this.#refusals.add(error);
    }
    if (pause !== undefined || this.#settled.size > 0) this.#later(pause ?? LONG_PAUSE);
  }

  /** Purges the stream up to the lowest floor, unless a message is in flight. */
  async #purge({ link, settled, progress }: Sweep): Promise<boolean> {
    if (!progress.canPurge || !progress.isQuiet) return false;
    const stream = this.#stream;
    const floor = lowestFloor(progress);
    // A stream that never had a message begins at 0. Before 2.12, a purge up to 0 removes all.
    if (floor > 0 && floor >= progress.stream.state.first_seq) {
      if ((await this.#removals.purge(link, floor)) === undefined) return false;
      this.#refusals.end();
    }
    if (stream === this.#stream) this.#forget(settled, (sequence) => sequence <= floor);
    return true;
  }

  /**
   * Removes messages one by one. On a server that purges, this runs once a second, for a queue that
   * always has messages in flight. Resolves to whether there may be more.
   */
  async #removeSingly(sweep: Sweep, isPurged: boolean): Promise<boolean> {
    const { link, progress } = sweep;
    this.#removedSinglyAt = performance.now();
    await this.#removeSettled(sweep);
    const hasMore = await this.#removeTargeted(sweep);
    if (isPurged) return hasMore;
    const { created, state } = await link.manager.streams.info(this.#queue.names.stream);
    const first = state.first_seq;
    const left = Math.min(lowestFloor(progress) - first + 1, MAX_LEFT_BEHIND);
    if (created !== progress.stream.created || left <= 0) return hasMore;
    await this.#remove(link, [...range(first, first + left - 1)]);
    return hasMore || left === MAX_LEFT_BEHIND;
  }

  /** Removes the messages that each group has settled: in this process, or up to its floor. */
  async #removeSettled({ link, settled, progress }: Sweep): Promise<void> {
    const all = new Set([...settled.values()].flatMap((places) => [...places.keys()]));
    const isSettledBy = (name: string, floor: number, sequence: number) =>
      sequence <= floor || settled.get(name)?.has(sequence) === true;
    const groups = [...progress.floors];
    const isDone = (sequence: number) =>
      this.#own.has(sequence) || groups.every(([name, floor]) => isSettledBy(name, floor, sequence));
    const done = new Set([...all].filter(isDone));
    if (done.size === 0) return;
    const stream = this.#stream;
    await this.#remove(link, [...done]);
    if (stream === this.#stream) this.#forget(settled, (sequence) => done.has(sequence));
  }

  /**
   * Removes the messages for one group that a dead process left behind: the floors of other groups
   * say nothing about them. Resolves to whether there may be more.
   */
  async #removeTargeted({ link, progress }: Sweep): Promise<boolean> {
    const names = [...this.#unchecked];
    this.#unchecked.clear();
    try {
      for (const name of names) {
        const floor = progress.floors.get(name) ?? 0;
        const left = await this.#removals.targetedUpTo(link, name, floor, MAX_LEFT_BEHIND);
        if (left.length > 0) await this.#remove(link, left);
        if (left.length === MAX_LEFT_BEHIND) this.#unchecked.add(name);
      }
    } catch (error) {
      for (const name of names) this.#unchecked.add(name);
      throw error;
    }
    return this.#unchecked.size > 0;
  }

  async #remove(link: NatsLink, sequences: readonly number[]): Promise<void> {
    await this.#removals.remove(link, sequences);
    // Only a removal shows that the server does not refuse removals any more.
    this.#refusals.end();
  }

  /** Moves removed messages from the settled ones to the remembered ones. */
  #forget(snapshot: Places, isRemoved: (sequence: number) => boolean): void {
    this.#rotate();
    for (const [name, places] of snapshot) {
      const settled = this.#settled.get(name);
      const removed = placesOf(this.#removed, name);
      for (const [sequence, storedAt] of places) {
        if (!isRemoved(sequence)) continue;
        if (removed.size < MAX_PLACES) removed.set(sequence, storedAt);
        places.delete(sequence);
        this.#own.delete(sequence);
        if (settled?.get(sequence) === storedAt) settled.delete(sequence);
      }
      if (settled?.size === 0) this.#settled.delete(name);
    }
  }

  #rotate(): void {
    const now = performance.now();
    const age = now - this.#rotatedAt;
    if (age < REMEMBERED) return;
    this.#rotatedAt = now;
    this.#removedBefore = age < 2 * REMEMBERED ? this.#removed : new Map();
    this.#removed = new Map();
  }
}

function lowestFloor({ floors }: Progress): number {
  return Math.min(...floors.values());
}

function placesOf(places: Places, name: string): Map<number, number> {
  const known = places.get(name) ?? new Map<number, number>();
  places.set(name, known);
  return known;
}
