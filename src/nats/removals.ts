import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerInfo, StreamInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import type { Logger } from '../internal/logger.js';
import type { JetStreamApi } from './api.js';
import { isUnanswered, type NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import { isForbidden, isStreamMissing } from './nats-errors.js';
import { isGroup } from './topology.js';

export interface RemovalsOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  /** The groups without which nothing may be removed. */
  readonly groups: () => readonly ConsumerGroup[];
  readonly logger: Logger;
}

/** What the stream holds, and what each group has settled. */
export interface Floors {
  /** When the stream was made. */
  readonly created: string;
  /** The place of the first message. */
  readonly first: number;
  /** Up to which place each group has settled all, by the name of its consumer. */
  readonly floors: ReadonlyMap<string, number>;
  /** Whether the stream may be purged at times: its servers are of 2.10 or newer, and accept a purge from this user. */
  readonly canPurge: boolean;
  /** Whether no message is in flight. */
  readonly isQuiet: boolean;
}

/** The groups of a stream. */
export interface Groups {
  readonly stream: StreamInfo;
  readonly groups: readonly ConsumerInfo[];
  /** False if a consumer has no leader, and is not listed. */
  readonly isComplete: boolean;
  /** As in `Floors`. */
  readonly canPurge: boolean;
}

/** How many messages are removed at a time. */
const REMOVED_TOGETHER = 256;

/** How long a process may take to remove what every group has settled, in milliseconds. After that, it counts as dead. */
const PATIENCE = 400;

/** The same on a server that purges: while messages are in flight, a process removes messages once a second. Less than the deadline for opening a queue. */
const LONG_PATIENCE = 1250;

/** How long to wait between two looks, in milliseconds. */
const PAUSE = 20;

/** Removes settled messages from the stream of a queue. Several processes may do so at a time. */
export class Removals {
  readonly #options: RemovalsOptions;
  /** Whether the user may read messages, as far as is known. */
  #mayLook = true;
  /** The connection for which it is decided how messages are removed. */
  #decidedFor: NatsLink | undefined;
  #purges = false;

  constructor(options: RemovalsOptions) {
    this.#options = options;
  }

  /** Up to which place in the stream each group has settled all. Undefined where not all groups are there, or some are not told of. */
  async floors(link: NatsLink): Promise<Floors | undefined> {
    const { names } = this.#options;
    const { stream, groups, isComplete, canPurge } = await this.groups(link);
    const floors = new Map(groups.map(({ name, ack_floor }) => [name, ack_floor.stream_seq]));
    const complete = isComplete && this.#options.groups().every((group) => floors.has(names.consumer(group)));
    if (!complete || floors.size === 0) return undefined;
    const isQuiet = groups.every(({ num_ack_pending }) => num_ack_pending === 0);
    return { created: stream.created, first: stream.state.first_seq, floors, isQuiet, canPurge };
  }

  /** Lists the consumers of the groups, and says what the stream holds. */
  async groups(link: NatsLink): Promise<Groups> {
    const { stream } = this.#options.names;
    const listed = await link.manager.consumers.list(stream);
    const groups = listed.filter(({ config }) => isGroup(config));
    // One that comes into being after this begins with what is there when it does.
    const info = await link.manager.streams.info(stream);
    const isComplete = listed.length >= info.state.consumer_count;
    return { stream: info, groups, isComplete, canPurge: this.#canPurge(link, info, groups) };
  }

  /** The place of the first message that the stream holds, and when the stream was made. */
  async first({ manager }: NatsLink): Promise<{ readonly created: string; readonly first: number }> {
    const { state, created } = await manager.streams.info(this.#options.names.stream);
    return { created, first: state.first_seq };
  }

  /** Where the messages are that only the group of a consumer gets, as far as a place: the first `most` of them. Empty for a user that may not look. */
  async targetedUpTo(link: NatsLink, consumer: string, last: number, most: number): Promise<number[]> {
    const { names } = this.#options;
    const subject = `${link.api}.STREAM.MSG.GET.${names.stream}`;
    const found: number[] = [];
    for (let from = 1; found.length < most && this.#mayLook; ) {
      let answer: Msg;
      try {
        answer = await link.request(subject, JSON.stringify({ seq: from, next_by_subj: names.targetedTo(consumer) }));
      } catch (error) {
        if (!isForbidden(error)) throw error;
        this.#mayLook = false;
        this.#debug(
          `The user may not publish to ${subject}: what a killed process settled for one group of queue ${this.#queue} stays longer`,
        );
        break;
      }
      const sequence = answer.json<{ readonly message?: { readonly seq: number } }>().message?.seq;
      if (sequence === undefined || sequence > last) break;
      found.push(sequence);
      from = sequence + 1;
    }
    return found;
  }

  /** Removes messages, one by one. */
  async remove(link: NatsLink, sequences: readonly number[]): Promise<void> {
    const subject = `${link.api}.STREAM.MSG.DELETE.${this.#options.names.stream}`;
    const request = (sequence: number) => JSON.stringify({ seq: sequence, no_erase: true });
    for (let from = 0; from < sequences.length; from += REMOVED_TOGETHER) {
      const together = sequences.slice(from, from + REMOVED_TOGETHER);
      const last = together.pop() as number;
      for (const sequence of together) link.publish(subject, request(sequence));
      // The server takes them in order, and is not flooded.
      const answer = await link.request(subject, request(last));
      // The stream that is made in its place has other messages there.
      if (isStreamMissing(errorOf(answer)?.err_code)) return;
    }
  }

  /**
   * Removes all messages up to a place with one request. Only where nothing is in flight: before 2.10, each consumer forgets what is. From 2.10 on, each consumer forgets
   * which messages were given back: they would be redelivered when their leases expire.
   * @returns how many it removed; undefined if the server refuses it. The messages are then removed one by one, as long as the connection lasts
   * @see https://docs.nats.io/reference/reference-protocols/nats_api_reference
   */
  async purge(link: NatsLink, last: number): Promise<number | undefined> {
    const subject = `${link.api}.STREAM.PURGE.${this.#options.names.stream}`;
    try {
      const answer = await link.request(subject, JSON.stringify({ seq: last + 1 }));
      // An account may import some subjects of the API and not this one.
      const error = isUnanswered(answer) ? { description: `nothing answers at ${subject}` } : errorOf(answer);
      if (error === undefined) return answer.json<{ readonly purged: number }>().purged;
      if (isStreamMissing(error.err_code)) return 0;
      this.#refused(`NATS refuses a purge: ${error.description}`);
    } catch (error) {
      if (!isForbidden(error)) throw error;
      this.#refused(`The user may not publish to ${subject}`);
    }
    return undefined;
  }

  /**
   * Waits until other processes have removed what every group has settled, as far as all before it is settled. A group that is created now starts with what the stream
   * holds. It must not remove such messages itself: if the group existed before and was deleted, it has not settled them.
   */
  async awaitOthers({ manager }: NatsLink): Promise<void> {
    const { stream } = this.#options.names;
    const begunAt = performance.now();
    for (let settled: number | undefined; ; await sleep(PAUSE)) {
      const info = await manager.streams.info(stream);
      if (info.state.messages === 0) return;
      settled ??= await this.#settledByAll(manager);
      const patience = tellsTime(info) ? LONG_PATIENCE : PATIENCE;
      if (settled < info.state.first_seq || performance.now() - begunAt > patience) return;
    }
  }

  /** Up to which place every group has settled all. -1 without a group, and for a user that may not look. */
  async #settledByAll({ consumers }: JetStreamApi): Promise<number> {
    try {
      const groups = (await consumers.list(this.#options.names.stream)).filter(({ config }) => isGroup(config));
      return groups.length === 0 ? -1 : Math.min(...groups.map(({ ack_floor }) => ack_floor.stream_seq));
    } catch (error) {
      if (isForbidden(error)) return -1;
      throw error;
    }
  }

  get #queue(): string {
    return JSON.stringify(this.#options.queueName);
  }

  /** Decides once for each connection. In a cluster of old and new servers, a leader may move to an old one: so every answer counts. */
  #canPurge(link: NatsLink, stream: StreamInfo, consumers: readonly ConsumerInfo[]): boolean {
    const isNew = [stream, ...consumers].every(tellsTime);
    if (this.#decidedFor !== link) {
      this.#decidedFor = link;
      this.#purges = isNew;
      const how = isNew
        ? 'by purging the stream when no message is in flight'
        : 'one by one: a purge is unsafe before NATS 2.10';
      this.#debug(`Settled messages of queue ${this.#queue} are removed ${how}`);
    }
    return this.#purges && isNew;
  }

  #refused(reason: string): void {
    this.#purges = false;
    this.#debug(`${reason}. Settled messages of queue ${this.#queue} are removed one by one, which is slower`);
  }

  #debug(message: string): void {
    const { queueName: queue, logger } = this.#options;
    logger.debug(message, { queue });
  }
}

/**
 * Whether the server that leads a stream or a consumer tells its time, as those of 2.10 and newer do. A list of consumers is put together by one server of the cluster: if that
 * is a new one, it writes the year 1 for a consumer whose leader is older.
 */
function tellsTime({ ts }: { readonly ts?: string }): boolean {
  return ts !== undefined && Date.parse(ts) > 0;
}

interface ApiError {
  readonly err_code?: number;
  readonly description?: string;
}

function errorOf(answer: Msg): ApiError | undefined {
  return answer.json<{ readonly error?: ApiError }>().error;
}
