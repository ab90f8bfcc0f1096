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
import { type EngineErrors, FatalError } from '../core/engine-errors.js';
import { DEFAULT_DEDUPE_WINDOW } from '../internal/dedupe-window.js';
import { describeError } from '../internal/describe.js';
import { addConsumer } from './counters.js';
import type { NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import { isForbidden, isInvalidConfiguration, isNotFound, isTaken } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';

/** The lease of a delayed message, in milliseconds: less than the deduplication window. */
export const MOVER_LEASE = 5000;

/**
 * How long after a stream was found to be missing it is created again, in milliseconds. While a
 * server deletes a stream, it also deletes the files of a new one with the same name: such a stream
 * confirms messages and delivers none.
 */
export const DELETION = 1000;

/** Credit bounds the messages in flight and their deliveries. */
const UNLIMITED = -1;

/** Limits and settings with which a stream cannot be a queue. */
const LIMITS = ['max_msgs', 'max_bytes', 'max_msgs_per_subject'] as const;
const FLAGS = ['no_ack', 'deny_delete', 'sealed'] as const;

/** The required configuration of a consumer: every message, as often as necessary, by requests. */
const REQUIRED: Partial<Record<keyof ConsumerConfig, unknown>> = {
  ack_policy: AckPolicy.Explicit,
  max_deliver: UNLIMITED,
  max_ack_pending: UNLIMITED,
  deliver_subject: undefined,
  filter_subject: undefined,
  filter_subjects: undefined,
  priority_groups: undefined,
  headers_only: undefined,
};

/** With a `retention`, an existing stream must have the same configuration. */
type WantedStream = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects'>;

type NewConsumer = Partial<ConsumerConfig> & { readonly durable_name: string };

export interface TopologyOptions {
  readonly failures: Pick<EngineErrors, 'notFound'>;
  /** The groups that must exist beside the declared ones. */
  readonly needed: () => Iterable<ConsumerGroup>;
  /** Runs before groups are created: a new group gets all messages of the stream. */
  readonly beforeNew: (link: NatsLink) => Promise<void>;
}

/** The streams and consumers of a queue. Creates the missing ones, unless the options forbid it. */
export class Topology {
  readonly #options: CheckedNatsOptions & TopologyOptions;
  readonly #names: QueueNames;
  #info: StreamInfo | undefined;
  /** The time of creation of the stream in which all groups were opened. */
  #completedIn: string | undefined;
  #completing: Promise<void> | undefined;
  /** Each stream that has existed, and when it was found to be missing since then. */
  readonly #missingSince = new Map<string, number | undefined>();
  readonly #warned = new Set<'lease' | 'window'>();
  /** False if the queue has had only other groups, also if its stream is created again. */
  #hasDefault = true;
  /** Whether this process deletes the queue. */
  isDeleting = false;

  constructor(options: CheckedNatsOptions & TopologyOptions, names: QueueNames) {
    this.#options = options;
    this.#names = names;
  }

  /** Whether missing streams and consumers are created. Otherwise opening them fails. */
  get creates(): boolean {
    return this.#options.create && !this.isDeleting;
  }

  /** When the stream was created. In another stream, sequence numbers begin again. */
  get created(): string | undefined {
    return this.#info?.created;
  }

  /** The deduplication window of the stream, in milliseconds. */
  get dedupeWindow(): number {
    return this.#info === undefined ? this.#window : millis(this.#info.config.duplicate_window);
  }

  /** The average size of a message, in bytes. Undefined if the stream was empty. */
  get messageSize(): number | undefined {
    const { messages = 0, bytes = 0 } = this.#info?.state ?? {};
    return messages > 0 ? bytes / messages : undefined;
  }

  /** The declared groups. Default: `default`, unless the queue has only other groups. */
  get groups(): readonly ConsumerGroup[] {
    return this.#hasDefault ? this.#options.groups : [];
  }

  async open(link: NatsLink): Promise<void> {
    const { groupsDeclared, needed } = this.#options;
    const info = await this.#openStreams(link);
    if (!groupsDeclared) this.#hasDefault = await this.#needsDefault(link, info);
    if (this.creates) await this.#openGroups(link, new Set([...this.groups, ...needed()]));
    // Another group that is missing fails only the calls that need it.
    else if (groupsDeclared) for (const group of this.groups) await this.#findGroup(link, group);
    this.#completedIn = info.created;
  }

  /** @throws {QueueNotFoundError} (a rejection) if the queue is missing and must not be created */
  async expectQueue(link: NatsLink): Promise<void> {
    if (!this.creates && (await this.#findStream(link, this.#names.stream)) === undefined) throw this.#notFound();
  }

  /** @throws {QueueNotFoundError} (a rejection) if the group is missing and must not be created */
  async expectGroup(link: NatsLink, group: ConsumerGroup): Promise<void> {
    await this.expectQueue(link);
    if (!this.creates) await this.#findGroup(link, group);
  }

  /** Opens the streams and one group, or all groups if the stream was created again. */
  async openGroup(link: NatsLink, group: ConsumerGroup): Promise<void> {
    await this.#openStreams(link);
    await this.#openGroups(link, [group]);
    if (this.created === this.#completedIn) return;
    this.#completing ??= this.open(link).finally(() => {
      this.#completing = undefined;
    });
    await this.#completing;
  }

  /** Also without `create`, the stream of the quarantine is created if the queue exists. */
  async openQuarantine(link: NatsLink): Promise<void> {
    const { stream, quarantine } = this.#names;
    if (!this.creates && (await this.#findStream(link, stream)) === undefined) throw this.#notFound();
    const description = 'Sluice: unreadable messages of the queue';
    const wanted = { name: quarantine, description, subjects: [`${quarantine}.>`] };
    await this.#ensureStreams(link, !this.isDeleting, wanted);
  }

  /**
   * The window of this process. A message that is sent again must be within the default window. A
   * process that must not create the queue leaves a shorter default window as it is.
   */
  get #window(): number {
    const { dedupeWindow, publishTimeout, create } = this.#options;
    const isDefault = dedupeWindow === DEFAULT_DEDUPE_WINDOW;
    return Math.ceil(isDefault ? Math.max(create ? dedupeWindow : 0, publishTimeout * 2) : dedupeWindow);
  }

  async #openStreams(link: NatsLink): Promise<StreamInfo> {
    const { stream, messages, delayedStream, delayed, mover } = this.#names;
    const common = { description: 'Sluice: a queue', duplicate_window: nanos(this.#window) };
    const info = await this.#ensureStreams(
      link,
      this.creates,
      // Not by interest: without a consumer, as during the shutdown of a server, such a stream
      // confirms messages and drops them.
      { ...common, name: stream, subjects: [messages], retention: RetentionPolicy.Limits },
      { ...common, name: delayedStream, subjects: [delayed], retention: RetentionPolicy.Workqueue },
    );
    this.#info = info;
    const config = { durable_name: mover, ack_wait: nanos(MOVER_LEASE) };
    await this.#ensureConsumer(link, delayedStream, config, { missing: () => this.#notFound() });
    return info;
  }

  /** Creates the missing streams, or fails, and resolves to the first one. */
  async #ensureStreams(link: NatsLink, creates: boolean, ...wanted: readonly WantedStream[]): Promise<StreamInfo> {
    const found = await Promise.all(wanted.map(({ name }) => this.#findStream(link, name)));
    if (!creates && found.includes(undefined)) throw this.#notFound();
    await this.#deleted(wanted.filter((_, index) => found[index] === undefined));
    // In order: if the first stream belongs to another program, the second one is not created.
    for (const [index, config] of wanted.entries()) {
      found[index] ??= await this.#createStream(link, config);
      if (config.retention === undefined) continue;
      this.#checkStream(found[index].config, config);
      found[index] = await this.#lengthenWindow(link, found[index]);
    }
    return found[0] as StreamInfo;
  }

  async #findStream({ manager }: NatsLink, name: string): Promise<StreamInfo | undefined> {
    const info = await unlessMissing(() => manager.streams.info(name));
    if (info !== undefined) this.#missingSince.set(name, undefined);
    // A later look waits for the rest of the pause.
    else if (this.#missingSince.has(name))
      this.#missingSince.set(name, this.#missingSince.get(name) ?? performance.now());
    return info;
  }

  /** Waits until the server has deleted the streams: once for all, since opening has a deadline. */
  async #deleted(missing: readonly WantedStream[]): Promise<void> {
    const since = Math.max(...missing.map(({ name }) => this.#missingSince.get(name) ?? Number.NEGATIVE_INFINITY));
    if (since === Number.NEGATIVE_INFINITY) return;
    // The connection keeps the process alive as long as the queue is open.
    await new Promise((resolve) => setTimeout(resolve, since + DELETION - performance.now()).unref());
  }

  async #createStream({ manager }: NatsLink, config: WantedStream): Promise<StreamInfo> {
    const { storage = 'file', replicas = 1 } = this.#options;
    const created = {
      ...config,
      storage: storage === 'file' ? StorageType.File : StorageType.Memory,
      num_replicas: replicas,
    };
    const info = await create(
      () => manager.streams.add(created),
      () => manager.streams.info(config.name),
    );
    this.#missingSince.set(config.name, undefined);
    return info;
  }

  /** @throws {FatalError} if another program owns the stream, or the options contradict it */
  #checkStream(actual: StreamConfig, { name, subjects, retention }: WantedStream): void {
    const { storage = actual.storage, replicas = actual.num_replicas } = this.#options;
    const expected = { subjects, retention, storage, num_replicas: replicas };
    for (const [setting, value] of Object.entries(expected)) {
      const has = actual[setting as keyof typeof expected];
      if (JSON.stringify(has) !== JSON.stringify(value)) throw mismatch(`Stream "${name}"`, setting, has, value);
    }
    // A limit that refuses new messages is a choice. A limit that discards old ones loses messages.
    const limits = actual.discard === DiscardPolicy.Old ? ([...LIMITS, 'max_age'] as const) : (['max_age'] as const);
    const limit = limits.find((setting) => (actual[setting] ?? 0) > 0);
    if (limit !== undefined)
      throw fatal(`Stream "${name}" has ${limit} ${actual[limit]}, which discards messages before they are settled`);
    const flag = FLAGS.find((setting) => actual[setting] === true);
    if (flag !== undefined) throw fatal(`Stream "${name}" has ${flag}, which a queue cannot use`);
  }

  /** Lengthens a shorter deduplication window. Keeps a longer one: another process may need it. */
  async #lengthenWindow({ manager }: NatsLink, info: StreamInfo): Promise<StreamInfo> {
    const { name, dedupeWindow } = this.#options;
    const { config } = info;
    const actual = millis(config.duplicate_window);
    const which = `Stream ${JSON.stringify(config.name)} of queue ${JSON.stringify(name)} deduplicates ids for ${actual} ms`;
    if (actual >= this.#window) {
      if (actual > this.#window && dedupeWindow !== DEFAULT_DEDUPE_WINDOW)
        this.#warnOnce('window', `${which}, longer than \`dedupeWindow\` of ${dedupeWindow} ms. It stays longer.`);
      return info;
    }
    try {
      return await manager.streams.update(config.name, { duplicate_window: nanos(this.#window) });
    } catch (error) {
      if (!isForbidden(error) && !isInvalidConfiguration(error)) throw error;
      const reason = describeError(error);
      this.#warnOnce('window', `${which}, shorter than the ${this.#window} ms of this process: ${reason}`);
      return info;
    }
  }

  /** Whether the queue has the group `default`, or no group at all and may get it. */
  async #needsDefault({ manager }: NatsLink, { state }: StreamInfo): Promise<boolean> {
    const { stream, consumer } = this.#names;
    if (state.consumer_count === 0) return this.creates && this.#hasDefault;
    const [name = ''] = this.#options.groups;
    if ((await unlessMissing(() => manager.consumers.info(stream, consumer(name)))) !== undefined) return true;
    if (!this.#hasDefault || !this.creates) return false;
    try {
      const listed = await manager.consumers.list(stream);
      // The list omits a consumer without a leader.
      return listed.length >= state.consumer_count && !listed.some(({ config }) => isGroup(config));
    } catch (error) {
      // The user may not list them: most likely they are groups.
      if (isForbidden(error)) return false;
      throw error;
    }
  }

  async #openGroups(link: NatsLink, groups: Iterable<ConsumerGroup>): Promise<void> {
    let prepared: Promise<void> | undefined;
    // Once for all groups, since opening has a deadline.
    const beforeNew = () => {
      prepared ??= this.#options.beforeNew(link);
      return prepared;
    };
    for (const group of groups) await this.#openGroup(link, group, beforeNew);
  }

  async #findGroup({ manager }: NatsLink, group: ConsumerGroup): Promise<void> {
    const { stream, consumer } = this.#names;
    const found = await unlessMissing(() => manager.consumers.info(stream, consumer(group)));
    if (found === undefined) throw this.#notFound(group);
  }

  async #openGroup(link: NatsLink, group: ConsumerGroup, beforeNew: () => Promise<void>): Promise<void> {
    const { stream, consumer } = this.#names;
    const { lease, name } = this.#options;
    const wanted = nanos(Math.ceil(lease));
    const config = { durable_name: consumer(group), ack_wait: wanted };
    const missing = () => this.#notFound(group);
    const { ack_wait: actual = wanted } = await this.#ensureConsumer(link, stream, config, { beforeNew, missing });
    if (actual === wanted) return;
    const which = `Group ${JSON.stringify(group)} of queue ${JSON.stringify(name)}`;
    if (actual > wanted) {
      // With a shorter lease, consumers that renew less often would lose their messages.
      const message = `${which} keeps its lease of ${millis(actual)} ms, longer than the ${lease} ms of this process`;
      this.#warnOnce('lease', message, group);
    } else {
      this.#warnOnce('lease', `${which} had a shorter lease. It is now ${lease} ms for all consumers`, group);
      await link.manager.consumers.update(stream, consumer(group), { ack_wait: wanted });
    }
  }

  async #ensureConsumer(
    link: NatsLink,
    stream: string,
    config: NewConsumer,
    { beforeNew, missing }: { readonly beforeNew?: () => Promise<void>; readonly missing: () => Error },
  ): Promise<ConsumerConfig> {
    const { manager } = link;
    const find = () => manager.consumers.info(stream, config.durable_name);
    const add = async () => {
      if (!this.creates) throw missing();
      await beforeNew?.();
      return addConsumer(manager, stream, {
        ...config,
        deliver_policy: DeliverPolicy.All,
        ack_policy: AckPolicy.Explicit,
        max_deliver: UNLIMITED,
        max_ack_pending: UNLIMITED,
      });
    };
    const { config: actual } = (await unlessMissing(find)) ?? (await create(add, find));
    for (const [setting, value] of Object.entries(REQUIRED)) {
      const has = actual[setting as keyof ConsumerConfig];
      if ((has || undefined) !== value)
        throw mismatch(`Consumer "${actual.durable_name}" of stream "${stream}"`, setting, has, value);
    }
    return actual;
  }

  #notFound(group?: ConsumerGroup): Error {
    return this.#options.failures.notFound(group);
  }

  #warnOnce(topic: 'lease' | 'window', message: string, group?: ConsumerGroup): void {
    if (this.#warned.has(topic)) return;
    this.#warned.add(topic);
    const { name: queue, logger } = this.#options;
    logger.warn(message, group === undefined ? { queue } : { queue, group });
  }
}

/** Whether a consumer belongs to a group. An ephemeral consumer retains no messages. */
export function isGroup({ durable_name }: ConsumerConfig): boolean {
  return Boolean(durable_name);
}

async function unlessMissing<Info>(find: () => Promise<Info>): Promise<Info | undefined> {
  try {
    return await find();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

/** Creates a stream or consumer, unless another process has created it meanwhile. */
async function create<Info>(add: () => Promise<Info>, find: () => Promise<Info>): Promise<Info> {
  try {
    return await add();
  } catch (error) {
    if (!isTaken(error)) throw error;
    return find().catch((again: unknown) => {
      throw isNotFound(again) ? error : again;
    });
  }
}

function mismatch(owner: string, setting: string, has: unknown, value: unknown): FatalError {
  const expected = JSON.stringify(value) ?? 'none';
  return fatal(`${owner} has ${setting} ${JSON.stringify(has)}, where the queue expects ${expected}`);
}

function fatal(reason: string): FatalError {
  return new FatalError('', { cause: new Error(reason) });
}
