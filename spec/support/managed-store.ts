import { randomUUID } from 'node:crypto';
import { setImmediate as travel } from 'node:timers/promises';
import { BehaviorSubject, distinctUntilChanged, type Observable, takeWhile } from 'rxjs';
import {
  ConfigurationError,
  checkDeclared,
  type GroupInfo,
  type ManagedQueue,
  type MessageView,
  type PeekOptions,
  type PurgeOptions,
  type QueueStatus,
} from 'sluice';
import type { BackendCapabilities, BackendNeeds } from 'sluice/testing';
import { MessageStore, StoreBackend } from '../../examples/third-party-backend.js';
import { silentLogger } from './recording-logger.js';

type StoredQueue = ReturnType<ManagedStore['queue']>;
type Entry = NonNullable<ReturnType<NonNullable<ReturnType<StoredQueue['groups']['get']>>['get']>>;

/** The store of the example, with what an administrator asks of it. */
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
    const removed = new Set<string>();
    for (const [each, entries] of queue.groups) {
      if (group !== undefined && group !== each) continue;
      for (const [id] of [...entries].filter(([, entry]) => isWaiting(entry))) {
        entries.delete(id);
        removed.add(id);
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
  const { id, key, payload, headers, publishedAt } = entry.message;
  const due = isDelayed(entry) ? entry.due : undefined;
  return { id, key, payload: JSON.parse(payload) as object, headers, attempt: entry.attempt, publishedAt, due };
}

function dropSettled({ groups, messages }: StoredQueue): void {
  for (const id of messages.keys()) {
    if (![...groups.values()].some((entries) => entries.has(id))) messages.delete(id);
  }
}

export interface ManagedStoreOptions extends BackendNeeds {
  readonly store: ManagedStore;
}

/** A managed queue that other backends can share: the reference for the cases that a `MemoryBackend` cannot run. */
export class ManagedStoreBackend extends StoreBackend implements ManagedQueue {
  readonly status$: Observable<QueueStatus>;
  readonly store: ManagedStore;
  readonly declared: readonly string[];
  readonly status: BehaviorSubject<QueueStatus>;

  constructor({ store, name = randomUUID(), groups = ['default'], dedupeWindow, logger }: ManagedStoreOptions) {
    const status = new BehaviorSubject<QueueStatus>('idle');
    const connected = () => status.value === 'idle' && status.next('connected');
    super({ store: watched(store, connected), name, groups, dedupeWindow, logger: logger ?? silentLogger });
    this.store = store;
    this.declared = groups;
    this.status = status;
    this.status$ = status.pipe(
      distinctUntilChanged(),
      takeWhile((value) => value !== 'closed', true),
    );
  }

  async groups(): Promise<GroupInfo[]> {
    await this.store.open(this.name, this.declared);
    const groups = await this.store.listGroups(this.name);
    return groups.map((group) => ({ ...group, declared: this.declared.includes(group.name) }));
  }

  async deleteGroup(group: string): Promise<boolean> {
    if (typeof group !== 'string') throw new TypeError('Expected `name` to be a string');
    if (group === '' || group.length > 255) throw new RangeError('Expected `name` to be of 1 to 255 bytes');
    if (this.declared.includes(group)) throw new ConfigurationError(`Group "${group}" is declared`);
    return this.store.deleteGroup(this.name, group);
  }

  async peek({ group = 'default', limit = 20 }: PeekOptions = {}): Promise<MessageView[]> {
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError('Expected `limit` to be an integer >= 1');
    checkDeclared(group, this.declared, this.name);
    return this.store.peek(this.name, group, limit);
  }

  async purge({ group }: PurgeOptions = {}): Promise<number> {
    if (group !== undefined) checkDeclared(group, this.declared, this.name);
    return this.store.purge(this.name, group);
  }

  /** Loses the connection for a moment, as far as `status$` tells. */
  async disconnect(): Promise<void> {
    this.status.next('disconnected');
    await travel();
    this.status.next('connected');
  }

  override async close(): Promise<void> {
    await super.close();
    this.status.next('closed');
  }
}

/** A store that says when it is used. */
function watched(store: ManagedStore, used: () => unknown): ManagedStore {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'open' || name === 'count') used();
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** What a `ManagedStoreBackend` can do. */
export const MANAGED_STORE: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'held',
  shared: true,
  attempt: 'exact',
  release: 'uncounted',
  validation: 'json',
  close: 'at once',
  dedupe: true,
  managed: true,
  peek: true,
};
