import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { millis, nanos } from '@nats-io/transport-node';
import type { ConsumerGroup } from '../backend.js';
import { FatalError } from '../core/engine-errors.js';
import { DEFAULT_DEDUPE_WINDOW } from '../internal/dedupe-window.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';
import type { JetStreamApi } from './api.js';
import { addConsumer } from './consumer-limit.js';
import type { NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import { isConfigurationRefused, isForbidden, isNotFound, isTaken } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';

/** How long the mover may take with a message, in milliseconds: less than the server remembers ids. */
export const MOVER_LEASE = 5000;

/**
 * How long after a stream was found to be missing it is created again, in milliseconds. While a server deletes a stream, another can be made in its place, whose files it deletes too: such
 * a stream confirms messages and delivers none.
 */
export const DELETION = 1000;

/** The bound of deliveries and settlements: credit bounds them already. */
const UNLIMITED = -1;

/** What bounds a stream, and what keeps it from being one for a queue. */
const BOUNDS = ['max_msgs', 'max_bytes', 'max_msgs_per_subject'] as const;
const FLAGS = ['no_ack', 'deny_delete', 'sealed'] as const;

/** What the consumer of a group has to be like: one that is pulled from, gets every message, as often as it takes, and counts no more than credit does. */
const OUR_CONSUMER: Partial<Record<keyof ConsumerConfig, unknown>> = {
  ack_policy: AckPolicy.Explicit,
  max_deliver: UNLIMITED,
  max_ack_pending: UNLIMITED,
  deliver_subject: undefined,
  filter_subject: undefined,
  filter_subjects: undefined,
  priority_groups: undefined,
  headers_only: undefined,
};

/** What the queue wants a stream to be like. */
type WantedStream = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects'>;

/** One that has to be like that, also where it was there before. */
type QueueStream = WantedStream & Pick<StreamConfig, 'retention'>;

export interface MoverState {
  readonly undelivered: number;
  /** NaN before the first message. */
  readonly activeAt: number;
}

/** The streams and consumers of a queue. */
export class Topology {
  readonly #options: CheckedNatsOptions;
  readonly #names: QueueNames;
  readonly #logger: Logger;
  #created: string | undefined;
  #messageSize: number | undefined;
  #dedupeWindow: number;
  /** The streams that were there once. For each that was found to be missing since: when, by the clock of `performance`. */
  readonly #missingSince = new Map<string, number | undefined>();
  #warned = false;
  #warnedOfWindow = false;
  /** False once the queue had groups, and not the group `default`. A stream that is created again keeps its messages for the next group. */
  #hasDefault = true;

  constructor(options: CheckedNatsOptions, names: QueueNames) {
    this.#options = options;
    this.#names = names;
    this.#logger = options.logger;
    this.#dedupeWindow = this.#window;
  }

  /** How long the stream remembers the ids of messages, in milliseconds. */
  get dedupeWindow(): number {
    return this.#dedupeWindow;
  }

  /** The window that this process wants. A message that is sent again has to be within it, unless the user chose a shorter one. */
  get #window(): number {
    const { dedupeWindow, publishTimeout } = this.#options;
    return Math.ceil(
      dedupeWindow === DEFAULT_DEDUPE_WINDOW ? Math.max(dedupeWindow, publishTimeout * 2) : dedupeWindow,
    );
  }

  /** When the stream was made that was there last. With another one, sequence numbers begin again. */
  get created(): string | undefined {
    return this.#created;
  }

  /** How large a message of the stream was on average when it was opened, in bytes. Undefined: it held none. */
  get messageSize(): number | undefined {
    return this.#messageSize;
  }

  /** The groups that are declared. Without a declaration: the group `default`, unless the queue has other groups and not that one. */
  get groups(): readonly ConsumerGroup[] {
    return this.#hasDefault ? this.#options.groups : [];
  }

  /** Sees to it that the streams are there, with the declared groups and these. */
  async openAll(link: NatsLink, groups: Iterable<ConsumerGroup>, beforeNew: () => Promise<void>): Promise<void> {
    const info = await this.#open(link);
    if (!this.#options.groupsDeclared) this.#hasDefault = await this.#needsDefault(link, info);
    for (const group of new Set([...this.groups, ...groups])) await this.#group(link, group, beforeNew);
  }

  /**
   * Sees to it that the streams are there, with one group.
   * @param beforeNew is done before a group comes into being: it begins with what the stream holds then
   */
  async open(link: NatsLink, group: ConsumerGroup, beforeNew: () => Promise<void>): Promise<void> {
    await this.#open(link);
    await this.#group(link, group, beforeNew);
  }

  /** Sees to it that the streams are there, with the consumer of what waits for its time. */
  async #open(link: NatsLink): Promise<StreamInfo> {
    const { manager } = link;
    const { stream, messages, delayedStream, delayed, mover } = this.#names;
    const common = { description: 'Sluice: a queue', duplicate_window: nanos(this.#window) };
    const [info] = await this.#streams(
      link,
      // Not by interest: such a stream confirms what it does not keep, while it has no consumer; and it has none while the server shuts down.
      { ...common, name: stream, subjects: [messages], retention: RetentionPolicy.Limits },
      { ...common, name: delayedStream, subjects: [delayed], retention: RetentionPolicy.Workqueue },
    );
    this.#created = info.created;
    this.#dedupeWindow = millis(info.config.duplicate_window);
    const { messages: count, bytes } = info.state;
    this.#messageSize = count > 0 ? bytes / count : undefined;
    await this.#consumer(manager, delayedStream, { durable_name: mover, ack_wait: nanos(MOVER_LEASE) });
    return info;
  }

  /** Whether the queue has the group `default`, or none at all. */
  async #needsDefault({ manager }: NatsLink, { state }: StreamInfo): Promise<boolean> {
    const { stream, consumer } = this.#names;
    if (state.consumer_count === 0) return this.#hasDefault;
    const [name = ''] = this.#options.groups;
    if ((await there(() => manager.consumers.info(stream, consumer(name)))) !== undefined) return true;
    if (!this.#hasDefault) return false;
    try {
      const listed = await manager.consumers.list(stream);
      // A consumer that has no leader is not listed.
      return listed.length >= state.consumer_count && !listed.some(({ config }) => isGroup(config));
    } catch (error) {
      // The user may not list them: most likely they are groups.
      if (isForbidden(error)) return false;
      throw error;
    }
  }

  /** Sees to it that the stream is there that keeps what is no message. */
  async openAside(link: NatsLink): Promise<void> {
    const { aside } = this.#names;
    if ((await this.#lookFor(link, aside)) !== undefined) return;
    await this.#deleted([aside]);
    await this.#made(link, {
      name: aside,
      description: 'Sluice: what was found in the queue and is no message',
      subjects: [`${aside}.>`],
    });
  }

  /** How many delayed messages no process has received yet; and when the server last sent or renewed one, in milliseconds since the epoch by its clock. */
  async moverState({ manager }: NatsLink): Promise<MoverState> {
    const { num_pending, delivered } = await manager.consumers.info(this.#names.delayedStream, this.#names.mover);
    // The client declares a number here, and passes on the text that the server sent.
    return { undelivered: num_pending, activeAt: Date.parse(String(delivered.last_active)) };
  }

  /** The streams of the queue, which are there, or are made. */
  async #streams(
    link: NatsLink,
    ...wanted: readonly [QueueStream, QueueStream]
  ): Promise<readonly [StreamInfo, StreamInfo]> {
    const found = await Promise.all(wanted.map(({ name }) => this.#lookFor(link, name)));
    await this.#deleted(wanted.map(({ name }) => name).filter((_, index) => found[index] === undefined));
    const infos: StreamInfo[] = [];
    // One after the other: nothing is made beside a stream that is not the queue's.
    for (const [index, config] of wanted.entries()) {
      const info = found[index] ?? (await this.#made(link, config));
      this.#check(info.config, config);
      infos.push(await this.#lengthenWindow(link, info));
    }
    return infos as [StreamInfo, StreamInfo];
  }

  /** Resolves to undefined where a stream is not there. */
  async #lookFor({ manager }: NatsLink, name: string): Promise<StreamInfo | undefined> {
    const info = await there(() => manager.streams.info(name));
    if (info !== undefined) this.#missingSince.set(name, undefined);
    // A later look waits for the rest of the pause.
    else if (this.#missingSince.has(name))
      this.#missingSince.set(name, this.#missingSince.get(name) ?? performance.now());
    return info;
  }

  /** Waits until the server has deleted streams that were there: once for all of them, since opening has a deadline. */
  async #deleted(missing: readonly string[]): Promise<void> {
    const since = Math.max(...missing.map((name) => this.#missingSince.get(name) ?? Number.NEGATIVE_INFINITY));
    if (since === Number.NEGATIVE_INFINITY) return;
    // The connection keeps the process alive, as long as the queue is open.
    await new Promise((resolve) => setTimeout(resolve, since + DELETION - performance.now()).unref());
  }

  async #made(link: NatsLink, config: WantedStream): Promise<StreamInfo> {
    const { name } = config;
    const info = await made(
      () => link.manager.streams.add({ ...config, ...this.#keeping() }),
      () => link.manager.streams.info(name),
    );
    this.#missingSince.set(name, undefined);
    return info;
  }

  /** Lengthens the deduplication window of a stream that has a shorter one, if the user may. Other processes may want a longer one. */
  async #lengthenWindow({ manager }: NatsLink, info: StreamInfo): Promise<StreamInfo> {
    const { name, dedupeWindow } = this.#options;
    const { config } = info;
    const actual = millis(config.duplicate_window);
    const which = `Stream ${JSON.stringify(config.name)} of queue ${JSON.stringify(name)} deduplicates ids for ${actual} ms`;
    if (actual >= this.#window) {
      if (actual > this.#window && dedupeWindow !== DEFAULT_DEDUPE_WINDOW)
        this.#warnOfWindow(`${which}, longer than \`dedupeWindow\` of ${dedupeWindow} ms. It keeps that.`);
      return info;
    }
    try {
      return await manager.streams.update(config.name, { ...config, duplicate_window: nanos(this.#window) });
    } catch (error) {
      if (!isForbidden(error) && !isConfigurationRefused(error)) throw error;
      this.#warnOfWindow(`${which}, shorter than the ${this.#window} ms of this process: ${describeError(error)}`);
      return info;
    }
  }

  #warnOfWindow(message: string): void {
    if (!this.#warnedOfWindow) this.#logger.warn(message, { queue: this.#options.name });
    this.#warnedOfWindow = true;
  }

  #keeping(): Pick<StreamConfig, 'storage' | 'num_replicas'> {
    const { storage = 'file', replicas = 1 } = this.#options;
    return { storage: storage === 'file' ? StorageType.File : StorageType.Memory, num_replicas: replicas };
  }

  async #group({ manager }: NatsLink, group: ConsumerGroup, beforeNew: () => Promise<void>): Promise<void> {
    const { stream } = this.#names;
    const name = this.#names.consumer(group);
    const lease = nanos(Math.ceil(this.#options.lease));
    const { ack_wait = lease } = await this.#consumer(
      manager,
      stream,
      { durable_name: name, ack_wait: lease },
      beforeNew,
    );
    if (ack_wait === lease) return;
    const longer = ack_wait > lease;
    if (!this.#warned)
      this.#logger.warn(
        longer
          ? `Group ${JSON.stringify(group)} of queue ${JSON.stringify(this.#options.name)} has a longer lease than ${this.#options.lease} ms: it stays ${millis(ack_wait)} ms, for all`
          : `Group ${JSON.stringify(group)} of queue ${JSON.stringify(this.#options.name)} had a shorter lease: it is ${this.#options.lease} ms now, for all`,
        { queue: this.#options.name, group },
      );
    this.#warned = true;
    // With a shorter one, consumers that renew less often would lose their leases.
    if (!longer) await manager.consumers.update(stream, name, { ack_wait: lease });
  }

  async #consumer(
    manager: JetStreamApi,
    stream: string,
    config: Partial<ConsumerConfig> & { durable_name: string },
    beforeNew?: () => Promise<void>,
  ): Promise<ConsumerConfig> {
    const { config: actual } = await found(
      () => manager.consumers.info(stream, config.durable_name),
      async () => {
        await beforeNew?.();
        return addConsumer(manager, stream, {
          ...config,
          deliver_policy: DeliverPolicy.All,
          ack_policy: AckPolicy.Explicit,
          max_deliver: UNLIMITED,
          max_ack_pending: UNLIMITED,
        });
      },
    );
    const wrong = Object.entries(OUR_CONSUMER).find(
      ([what, value]) => (actual[what as keyof ConsumerConfig] || undefined) !== value,
    );
    if (wrong === undefined) return actual;
    const [what, value] = wrong;
    const has = JSON.stringify(actual[what as keyof ConsumerConfig]);
    throw fatal(
      `Consumer "${actual.durable_name}" of stream "${stream}" has ${what} ${has}, where the queue expects ${JSON.stringify(value) ?? 'none'}`,
    );
  }

  /** @throws {FatalError} if the stream belongs to another program, or its configuration contradicts the options */
  #check(actual: StreamConfig, { name, subjects, retention }: QueueStream): void {
    const { storage = actual.storage, replicas = actual.num_replicas } = this.#options;
    const expected = { subjects, retention, storage, num_replicas: replicas };
    for (const [what, value] of Object.entries(expected)) {
      const has = JSON.stringify(actual[what as keyof typeof expected]);
      if (has !== JSON.stringify(value))
        throw fatal(`Stream "${name}" has ${what} ${has}, where the queue expects ${JSON.stringify(value)}`);
    }
    // A bound that refuses new messages is a choice. One that discards old messages loses them.
    const bounds = actual.discard === DiscardPolicy.Old ? ([...BOUNDS, 'max_age'] as const) : (['max_age'] as const);
    const bound = bounds.find((what) => (actual[what] ?? 0) > 0);
    if (bound !== undefined)
      throw fatal(`Stream "${name}" has ${bound} ${actual[bound]}, which discards messages before they are settled`);
    const flag = FLAGS.find((what) => actual[what] === true);
    if (flag !== undefined) throw fatal(`Stream "${name}" has ${flag}, with which a queue cannot work`);
  }
}

/** Whether a consumer is that of a group. An ephemeral consumer retains no messages. */
export function isGroup({ durable_name }: ConsumerConfig): boolean {
  return Boolean(durable_name);
}

/** What is there, or is made. */
async function found<Info>(find: () => Promise<Info>, make: () => Promise<Info>): Promise<Info> {
  return (await there(find)) ?? made(make, find);
}

/** Resolves to undefined where it is not there. */
async function there<Info>(find: () => Promise<Info>): Promise<Info | undefined> {
  try {
    return await find();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

/** What is made. Two that make the same thing at a time both get it. */
async function made<Info>(make: () => Promise<Info>, find: () => Promise<Info>): Promise<Info> {
  try {
    return await make();
  } catch (error) {
    // Another process has created it meanwhile: its configuration is checked.
    if (!isTaken(error)) throw error;
    return find().catch((again: unknown) => {
      throw isNotFound(again) ? error : again;
    });
  }
}

function fatal(reason: string): FatalError {
  return new FatalError('', { cause: new Error(reason) });
}
