import { setTimeout as sleep } from 'node:timers/promises';
import type { GroupInfo, ManagedQueue, QueueBackend } from 'sluice';
import { CommandError, EXIT, oneLine, usageError } from './failures.js';
import type { Shell } from './shell.js';

/** A backend, which need not have the methods of a `ManagedQueue`. */
export type AnyQueue = QueueBackend & Partial<ManagedQueue>;

/** How long closing may take for a queue that has never answered, in milliseconds. */
const LONGEST_GOODBYE = 500;

/** Opens queues, and closes all of them at the end of the command. */
export class Queues {
  readonly #shell: Shell;
  readonly #open = new Map<AnyQueue, { answered: boolean }>();

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  /**
   * Loads a backend.
   * @param name default: `--name` or QUEUE_NAME
   * @param groups the groups to declare. Default: `--groups` or QUEUE_GROUPS
   * @param create whether the variables decide if what does not exist is created. `false`: never
   * @throws {CommandError} (a rejection) if the flags or variables are invalid
   */
  async load({ name, groups, create }: LoadOptions): Promise<AnyQueue> {
    const { env, logger } = this.#shell;
    const { loadBackend } = await import('sluice');
    try {
      const queue: AnyQueue = await loadBackend({ env, name, groups, create: create ? undefined : false, logger });
      this.#open.set(queue, { answered: false });
      return queue;
    } catch (error) {
      throw new CommandError(oneLine(error), EXIT.usage);
    }
  }

  /**
   * Opens a queue to publish to. Creates it if it does not exist. If it exists, adds only groups of
   * `--groups` or QUEUE_GROUPS: another one would retain every message.
   * @param group the only group that gets the message
   * @throws {CommandError} (a rejection) if the queue exists and shows no group
   */
  async openToPublish(group: string | undefined): Promise<AnyQueue> {
    const { name, groups } = this.#shell.options;
    const { QueueNotFoundError } = await import('sluice');
    if (this.#declaredGroups() !== undefined) return this.load({ name, groups, create: true });
    const queue = await this.load({ name, groups, create: false });
    if (queue.groups === undefined) return queue;
    try {
      const found = await this.call(queue, queue.groups());
      if (found.length === 0)
        throw usageError(
          `Queue ${JSON.stringify(queue.name)} exists, and its groups are not known. Name them with --groups or QUEUE_GROUPS`,
        );
      if (group === undefined || !found.some((each) => each.name === group)) return queue;
      return this.load({ name: queue.name, groups: [group], create: false });
    } catch (error) {
      if (!QueueNotFoundError.is(error)) throw error;
      return this.load({ name, groups, create: true });
    }
  }

  /**
   * Finds a queue and its groups, and creates nothing.
   * @throws {CommandError} (a rejection) if the queue lives in one process
   * @throws {QueueNotFoundError} if it does not exist
   */
  async find(given: { readonly name?: string | undefined } = {}): Promise<ExistingQueue> {
    const { name = this.#shell.options.name } = given;
    const declared = given.name === undefined ? this.#declaredGroups() : undefined;
    const { QueueNotFoundError } = await import('sluice');
    const queue = await this.load({ name, groups: declared, create: false });
    await this.#refuseMemory(queue);
    try {
      const groups = await this.#groupsOf(queue);
      return new ExistingQueue(this, { queue, serves: declared, given: declared, groups });
    } catch (error) {
      if (declared === undefined || !QueueNotFoundError.is(error)) throw error;
    }
    // A group is missing, or the queue is. The first backend stays open: an embedded database would
    // close with its last user, and takes seconds to start.
    const other = await this.load({ name: queue.name, groups: undefined, create: false });
    const groups = await this.#groupsOf(other);
    for (const group of declared) {
      if (groups?.some(({ name }) => name === group)) continue;
      // RabbitMQ lists a group only if it is declared.
      const found = await this.#groupsIfFound(queue.name, group);
      if (found === undefined)
        this.#shell.warn(`Queue ${JSON.stringify(queue.name)} has no group ${JSON.stringify(group)}`);
      groups?.push(...(found?.filter(({ name }) => name === group) ?? []));
    }
    return new ExistingQueue(this, { queue: other, serves: undefined, given: declared, groups });
  }

  /** Waits for a call of a queue. */
  async call<Value>(queue: AnyQueue, call: Promise<Value>): Promise<Value> {
    const value = await this.#shell.within(call);
    const state = this.#open.get(queue);
    if (state !== undefined) state.answered = true;
    return value;
  }

  /** Closes all queues, which requeues what is in flight. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#open].map(async ([queue, { answered }]) => {
        const closed = queue.close();
        if (answered) return closed;
        // It has nothing in flight, and may be unreachable.
        return Promise.race([closed, sleep(LONGEST_GOODBYE)]);
      }),
    );
  }

  /** Undefined: the group does not exist. */
  async #groupsIfFound(name: string, group: string): Promise<GroupInfo[] | undefined> {
    const { QueueNotFoundError } = await import('sluice');
    const queue = await this.load({ name, groups: [group], create: false });
    try {
      return await this.#groupsOf(queue);
    } catch (error) {
      if (QueueNotFoundError.is(error)) return undefined;
      throw error;
    }
  }

  #declaredGroups(): readonly string[] | undefined {
    const { options, env } = this.#shell;
    if (options.groups !== undefined) return options.groups;
    // QUEUE_GROUPS declares the groups of the queue QUEUE_NAME.
    if (options.name !== undefined || !env.QUEUE_GROUPS) return undefined;
    return env.QUEUE_GROUPS.split(',').map((group) => group.trim());
  }

  async #refuseMemory(queue: AnyQueue): Promise<void> {
    const { MemoryBackend } = await import('sluice');
    if (!(queue instanceof MemoryBackend)) return;
    const name = JSON.stringify(queue.name);
    throw new CommandError(
      `Queue ${name} does not exist here: a MemoryBackend lives in the process of its service. ` +
        'Set QUEUE_BACKEND or --backend to the engine of the service.',
    );
  }

  /** Undefined: the backend cannot list them. */
  async #groupsOf(queue: AnyQueue): Promise<GroupInfo[] | undefined> {
    if (queue.groups === undefined) {
      await this.call(queue, queue.stats());
      return undefined;
    }
    return this.call(queue, queue.groups());
  }
}

interface LoadOptions {
  readonly name?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly create: boolean;
}

/** Engines list groups in any order. */
export function byName(groups: readonly GroupInfo[]): GroupInfo[] {
  return groups.toSorted(({ name: one }, { name: other }) => (one < other ? -1 : 1));
}

interface Found {
  readonly queue: AnyQueue;
  /** The groups that the backend declares. Undefined: `default`. */
  readonly serves: readonly string[] | undefined;
  /** The groups of `--groups` or QUEUE_GROUPS. */
  readonly given: readonly string[] | undefined;
  /** Undefined: the backend cannot list groups. */
  readonly groups: readonly GroupInfo[] | undefined;
}

/** A queue that exists, with the groups that were found. */
export class ExistingQueue {
  readonly name: string;
  /** `declared` is whether `--groups` or QUEUE_GROUPS names the group. Undefined: the backend cannot list groups. */
  readonly groups: readonly GroupInfo[] | undefined;
  /** The groups that `--groups` or QUEUE_GROUPS names and that do not exist. */
  readonly missing: readonly string[];
  readonly #given: readonly string[];
  readonly #queues: Queues;
  #queue: AnyQueue;
  #declared: readonly string[];

  constructor(queues: Queues, { queue, serves = ['default'], given = [], groups }: Found) {
    this.name = queue.name;
    this.groups = groups && byName(groups).map((group) => ({ ...group, declared: given.includes(group.name) }));
    this.missing = groups === undefined ? [] : given.filter((name) => !groups.some((group) => group.name === name));
    this.#given = given;
    this.#queues = queues;
    this.#queue = queue;
    this.#declared = serves;
  }

  /** Whether `--groups` or QUEUE_GROUPS names the group. */
  isDeclared(group: string): boolean {
    return this.#given.includes(group);
  }

  get groupNames(): readonly string[] {
    return this.groups?.map(({ name }) => name) ?? this.#declared;
  }

  /** The queue, as it was opened last. */
  get queue(): AnyQueue {
    return this.#queue;
  }

  /**
   * Chooses the group of a command: the given one, `default`, or the only one.
   * @throws {CommandError} if the choice is not clear
   */
  groupFor(given: string | undefined): string {
    const { name, groupNames: known } = this;
    if (given !== undefined) return given;
    const [only = 'default'] = known;
    if (known.includes('default')) return 'default';
    if (known.length <= 1) return only;
    throw new CommandError(
      `Queue ${JSON.stringify(name)} has the groups ${known.join(', ')}. Choose one with --group.`,
      EXIT.usage,
    );
  }

  /**
   * Opens the queue with all these groups declared.
   * @throws {QueueNotFoundError} (a rejection, with the first call) if one does not exist
   */
  async serve(groups: readonly string[]): Promise<AnyQueue> {
    if (groups.every((group) => this.#declared.includes(group))) return this.#queue;
    this.#queue = await this.#queues.load({ name: this.name, groups, create: false });
    this.#declared = groups;
    return this.#queue;
  }
}
