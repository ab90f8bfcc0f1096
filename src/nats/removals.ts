import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerInfo, StreamInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import { isUnanswered, type NatsLink } from './link.js';
import { isForbidden, isStreamMissing } from './nats-errors.js';
import type { NatsQueue } from './queue.js';
import { batches, deletion, readMatching } from './stored.js';
import { isGroup } from './topology.js';

/** The stream, and how far its groups are. */
export interface Progress {
  readonly stream: StreamInfo;
  readonly groups: readonly ConsumerInfo[];
  /** By consumer: up to which message a group has settled everything. */
  readonly floors: ReadonlyMap<string, number>;
  /** False if a consumer has no leader: the list omits it. */
  readonly isComplete: boolean;
  readonly isQuiet: boolean;
  /** Whether a purge is safe while no message is in flight, and the server accepts it. */
  readonly canPurge: boolean;
}

/**
 * How long other processes may take to remove settled messages, in milliseconds: less than the
 * deadline for opening a queue. A server that purges may be up to a second late.
 */
const REMOVAL_TIMEOUT = 400;
const PURGING_TIMEOUT = 1250;

/** The pause between two checks, in milliseconds. */
const PAUSE = 20;

/** Removes settled messages from the stream of a queue. Several processes may do so at a time. */
export class Removals {
  readonly #queue: NatsQueue;
  /** False if the user may not read messages. */
  #mayRead = true;
  /** Decided for each link. */
  #purging: { readonly link: NatsLink; readonly isPossible: boolean } | undefined;

  constructor(queue: NatsQueue) {
    this.#queue = queue;
  }

  async progress(link: NatsLink): Promise<Progress> {
    const listed = await link.manager.consumers.list(this.#queue.names.stream);
    const groups = listed.filter(({ config }) => isGroup(config));
    // A group that is created after this starts with what the stream holds then.
    const stream = await link.manager.streams.info(this.#queue.names.stream);
    const floors = new Map(groups.map(({ name, ack_floor }) => [name, ack_floor.stream_seq]));
    const isComplete = listed.length >= stream.state.consumer_count;
    const isQuiet = groups.every(({ num_ack_pending }) => num_ack_pending === 0);
    return { stream, groups, floors, isComplete, isQuiet, canPurge: this.#canPurge(link, [stream, ...groups]) };
  }

  /** Finds the first `most` messages up to `last` that only the group of a consumer gets. */
  async targetedUpTo(link: NatsLink, consumer: string, last: number, most: number): Promise<number[]> {
    const { names } = this.#queue;
    const found: number[] = [];
    if (!this.#mayRead) return found;
    try {
      for await (const { seq } of readMatching(link, names.stream, 1, names.targetedTo(consumer)))
        if (seq > last || found.push(seq) >= most) break;
    } catch (error) {
      if (!isForbidden(error)) throw error;
      this.#mayRead = false;
      const subject = `${link.api}.STREAM.MSG.GET.${names.stream}`;
      this.#debug(`The user may not publish to ${subject}: messages for one group that a killed process settled stay`);
    }
    return found;
  }

  async remove(link: NatsLink, sequences: readonly number[]): Promise<void> {
    const { subject, write } = deletion(link, this.#queue.names.stream);
    for (const batch of batches(sequences)) {
      const last = batch.pop() as number;
      for (const sequence of batch) link.publish(subject, write(sequence));
      // The server handles them in order. Without a response, they would flood it.
      const response = await link.request(subject, write(last));
      // A new stream would have other messages there.
      if (isStreamMissing(errorOf(response)?.err_code)) return;
    }
  }

  /**
   * Removes all messages up to `last` with one request. Only while no message is in flight: before
   * 2.10, each consumer forgets the messages in flight; later, it forgets which were requeued, and
   * redelivers them when their leases expire.
   * @returns how many. Undefined if the server refuses purges over this link
   * @see https://docs.nats.io/reference/reference-protocols/nats_api_reference
   */
  async purge(link: NatsLink, last: number): Promise<number | undefined> {
    const subject = `${link.api}.STREAM.PURGE.${this.#queue.names.stream}`;
    let refusal = `The user may not publish to ${subject}`;
    try {
      const response = await link.request(subject, JSON.stringify({ seq: last + 1 }));
      // An account may import some subjects of the API, but not this one.
      const error = isUnanswered(response) ? { description: `nothing answers at ${subject}` } : errorOf(response);
      if (error === undefined) return response.json<{ readonly purged: number }>().purged;
      if (isStreamMissing(error.err_code)) return 0;
      refusal = `NATS refuses a purge: ${error.description}`;
    } catch (error) {
      if (!isForbidden(error)) throw error;
    }
    this.#purging = { link, isPossible: false };
    this.#debug(`${refusal}. Settled messages are removed one by one, which is slower`);
    return undefined;
  }

  /**
   * Waits until other processes have removed the messages that all groups have settled: a new group
   * starts with what the stream holds. This process must not remove them itself: if the new group
   * existed before and was deleted, it has not settled them.
   */
  async awaitOthers(link: NatsLink): Promise<void> {
    const startedAt = performance.now();
    for (let floor: number | undefined; ; await sleep(PAUSE)) {
      const info = await link.manager.streams.info(this.#queue.names.stream);
      if (info.state.messages === 0) return;
      floor ??= await this.#lowestFloor(link);
      const timeout = hasTime(info) ? PURGING_TIMEOUT : REMOVAL_TIMEOUT;
      if (floor < info.state.first_seq || performance.now() - startedAt > timeout) return;
    }
  }

  /** Resolves to -1 if there is no group, or the user may not list groups. */
  async #lowestFloor(link: NatsLink): Promise<number> {
    try {
      const { floors } = await this.progress(link);
      return floors.size === 0 ? -1 : Math.min(...floors.values());
    } catch (error) {
      if (isForbidden(error)) return -1;
      throw error;
    }
  }

  /** In a cluster of old and new servers, a leader may move to an old one: each response counts. */
  #canPurge(link: NatsLink, infos: readonly { readonly ts?: string }[]): boolean {
    const isNew = infos.every(hasTime);
    if (this.#purging?.link !== link) {
      this.#purging = { link, isPossible: isNew };
      const how = isNew
        ? 'by purging the stream when no message is in flight'
        : 'one by one: a purge is unsafe before NATS 2.10';
      this.#debug(`Settled messages are removed ${how}`);
    }
    return isNew && this.#purging.isPossible;
  }

  #debug(message: string): void {
    const { name: queue, logger } = this.#queue.options;
    logger.debug(`Queue ${JSON.stringify(queue)}: ${message}`, { queue });
  }
}

/**
 * Whether the leader of a stream or a consumer is of 2.10 or newer, and so tells its time. A new
 * server that lists the consumers of a cluster writes the year 1 for one whose leader is older.
 */
function hasTime({ ts }: { readonly ts?: string }): boolean {
  return ts !== undefined && Date.parse(ts) > 0;
}

function errorOf(response: Msg): { readonly err_code?: number; readonly description?: string } | undefined {
  return response.json<{ readonly error?: { readonly err_code?: number; readonly description?: string } }>().error;
}
