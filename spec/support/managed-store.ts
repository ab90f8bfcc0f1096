import { randomUUID } from 'node:crypto';
import { setImmediate as travel } from 'node:timers/promises';
import type { GroupInfo, MessageView, QueueStats } from 'sluice';
import { PullBackend, type PullDriver, readEnvelope } from 'sluice/driver';
import type { BackendCapabilities, BackendNeeds } from 'sluice/testing';
import { MessageStore, StoreDriver } from '../../examples/third-party-backend.js';
import { silentLogger } from './recording-logger.js';

type StoredQueue = ReturnType<ManagedStore['queue']>;
type Entry = NonNullable<ReturnType<NonNullable<ReturnType<StoredQueue['groups']['get']>>['get']>>;

/** The store of the example, with administration. */
export class ManagedStore extends MessageStore {
  async listGroups(name: string): Promise<Omit<GroupInfo, 'declared'>[]> {
    await travel();
    const { groups } = this.queue(name);
    return [...groups].map(([group, entries]) => {
      const ready = [...entries.values()].filter((entry) => isWaiting(entry) && !isDelayed(entry)).length;
      return { name: group, ready, unfinished: entries.size };
    });
  }

  async deleteGroup(name: string, group: string): Promise<boolean> {
    await travel();
    const queue = this.queue(name);
    const deleted = queue.groups.delete(group);
    dropSettled(queue);
    return deleted;
  }

  async peek(name: string, group: string, limit: number): Promise<MessageView[]> {
    await travel();
    const waiting = [...(this.queue(name).groups.get(group)?.values() ?? [])].filter(isWaiting);
    const ready = waiting
      .filter((entry) => !isDelayed(entry))
      .sort((a, b) => Number(a.message.place) - Number(b.message.place));
    const delayed = waiting.filter(isDelayed).sort((a, b) => a.due - b.due);
    return [...ready, ...delayed].slice(0, limit).map(viewOf);
  }

  async purge(name: string, group?: string): Promise<number> {
    await travel();
    const queue = this.queue(name);
    const removed = new Set<object>();
    for (const [each, entries] of queue.groups) {
      if (group !== undefined && group !== each) continue;
      for (const [message] of [...entries].filter(([, entry]) => isWaiting(entry))) {
        entries.delete(message);
        removed.add(message);
      }
    }
    dropSettled(queue);
    return removed.size;
  }
}

function isWaiting({ claim }: Entry): boolean {
  return claim === undefined;
}

function isDelayed({ due, message }: Entry): boolean {
  return due > Date.now() || message.place === undefined;
}

function viewOf(entry: Entry): MessageView {
  const { id, publishedAt } = entry.message;
  const due = isDelayed(entry) ? entry.due : undefined;
  return {
    id,
    ...(readEnvelope(entry.message) as Pick<MessageView, 'key' | 'payload' | 'headers'>),
    attempt: entry.attempt,
    publishedAt,
    due,
  };
}

function dropSettled({ groups, messages }: StoredQueue): void {
  for (const message of messages) {
    if (![...groups.values()].some((entries) => entries.has(message))) messages.delete(message);
  }
}

export interface ManagedStoreOptions extends BackendNeeds {
  readonly store: ManagedStore;
}

class ManagedDriver extends StoreDriver {
  readonly administration: PullDriver['administration'];
  /** Whether the next count fails, as after a lost connection. */
  isCut = false;

  constructor(store: ManagedStore, queue: string, groups: readonly string[], dedupeWindow: number) {
    super(store, queue, groups, dedupeWindow);
    this.administration = {
      groups: async () => {
        await this.open();
        return store.listGroups(queue);
      },
      deleteGroup: (group) => store.deleteGroup(queue, group),
      peek: (group, limit) => store.peek(queue, group, limit),
      purge: (group) => store.purge(queue, group),
    };
  }

  override async count(group: string | undefined): Promise<QueueStats> {
    const { isCut } = this;
    this.isCut = false;
    if (isCut) throw new Error('the connection was cut');
    return super.count(group);
  }
}

/**
 * A managed queue that several backends can share. It runs the contract cases that `MemoryBackend`
 * cannot run.
 */
export class ManagedStoreBackend extends PullBackend {
  readonly #driver: ManagedDriver;

  constructor({ store, name = randomUUID(), groups = ['default'], dedupeWindow, logger }: ManagedStoreOptions) {
    const driver = new ManagedDriver(store, name, groups, dedupeWindow ?? 120_000);
    super(driver, { name, groups, dedupeWindow, logger: logger ?? silentLogger });
    this.#driver = driver;
  }

  async disconnect(): Promise<void> {
    this.#driver.isCut = true;
    await this.stats();
  }
}

/** The capabilities of a `ManagedStoreBackend`. */
export const MANAGED_STORE: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'held',
  shared: true,
  attempt: 'exact',
  release: 'uncounted',
  validation: 'json',
  close: 'at once',
  dedupe: true,
  dedupeDelayed: true,
  managed: true,
  foreignGroups: 'counted',
  peek: true,
  purgeDelayed: true,
};
