/**
 * A complete backend for a store of your own.
 *
 * `MessageStore` stands for what you have: a database or a service, called over a network. `StoreDriver` is what you write.
 * `StoreBackend` passes the contract suite.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as travel } from 'node:timers/promises';
import { type AnyEvents, ConfigurationError, type EventMap, type QueueStats } from 'sluice';
import {
  type DriverOptions,
  type ExchangeReply,
  type ExchangeRequest,
  type IncomingMessage,
  type OutgoingMessage,
  PullBackend,
  type PullDriver,
} from 'sluice/driver';

// ---- What you have: here a Map, and calls that take their time. ----

interface Stored extends OutgoingMessage {
  readonly due: number;
  /** The place in the queue. A delayed message gets its place when it becomes due. */
  place: number | undefined;
}

/** A message that a group has not settled. */
interface Entry {
  readonly message: Stored;
  attempt: number;
  due: number;
  /** The claim of the consumer that has the message in flight. */
  claim: string | undefined;
}

class Queue {
  places = 0;
  readonly messages = new Set<Stored>();
  readonly groups = new Map<string, Map<Stored, Entry>>();
  readonly listeners = new Set<() => void>();
  /** When each id of a publisher was stored. */
  readonly ids = new Map<string, number>();
}

export class MessageStore {
  readonly #queues = new Map<string, Queue>();

  /** Creates missing groups. They start with the messages that the queue holds for every group. */
  async open(name: string, groups: readonly string[]): Promise<void> {
    await travel();
    const queue = this.queue(name);
    for (const group of groups) {
      if (queue.groups.has(group)) continue;
      queue.groups.set(group, new Map());
      for (const message of queue.messages) if (message.group === undefined) offer(message, group, queue);
    }
  }

  async append(name: string, messages: readonly OutgoingMessage[], dedupeWindow: number): Promise<void> {
    await travel();
    const queue = this.queue(name);
    const now = Date.now();
    for (const message of messages) {
      if (message.deduplicate && now - (queue.ids.get(message.id) ?? Number.NEGATIVE_INFINITY) < dedupeWindow) continue;
      if (message.deduplicate) queue.ids.set(message.id, now);
      const stored = { ...message, due: now + message.delay, place: message.delay > 0 ? undefined : ++queue.places };
      queue.messages.add(stored);
      for (const group of message.group === undefined ? queue.groups.keys() : [message.group])
        offer(stored, group, queue);
    }
    this.#changed(queue);
  }

  /** Claims up to `count` messages, in order. `wait` is the time until the next delayed message becomes due. */
  async claim(name: string, group: string, count: number): Promise<Omit<ExchangeReply<IncomingMessage>, 'settled'>> {
    await travel();
    const waiting = this.#waiting(name, group);
    const now = Date.now();
    const ready = waiting.filter((entry) => isReady(entry, now)).sort(byPlace);
    const messages = ready.slice(0, count).map((entry) => {
      entry.claim = randomUUID();
      return { ...entry.message, attempt: entry.attempt, receipt: entry.claim };
    });
    const next = Math.min(...waiting.map(({ due }) => due).filter((due) => due > now));
    return { messages, wait: Number.isFinite(next) ? next - now : undefined };
  }

  /** Removes a message for a group, or requeues it. Returns whether the claim was still valid. */
  async settle(name: string, group: string, claim: string, requeue?: Pick<Entry, 'attempt' | 'due'>): Promise<boolean> {
    await travel();
    const queue = this.queue(name);
    const entries = queue.groups.get(group);
    const entry = [...(entries?.values() ?? [])].find((candidate) => candidate.claim === claim);
    if (entry === undefined) return false;
    if (requeue === undefined) {
      entries?.delete(entry.message);
      if (![...queue.groups.values()].some((other) => other.has(entry.message))) queue.messages.delete(entry.message);
    } else {
      Object.assign(entry, requeue, { claim: undefined });
      this.#changed(queue);
    }
    return true;
  }

  async count(name: string, group?: string): Promise<QueueStats> {
    await travel();
    const { groups, messages } = this.queue(name);
    const now = Date.now();
    const names = group === undefined ? [...groups.keys()] : [group];
    const ready = names.flatMap((one) => this.#waiting(name, one).filter((entry) => isReady(entry, now)));
    const unfinished = group === undefined ? messages.size : (groups.get(group)?.size ?? 0);
    return { ready: new Set(ready.map(({ message }) => message)).size, unfinished };
  }

  /** Calls back when there may be something to claim. Returns a function that stops that. */
  listen(name: string, listener: () => void): () => void {
    const { listeners } = this.queue(name);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  #waiting(name: string, group: string): Entry[] {
    return [...(this.queue(name).groups.get(group)?.values() ?? [])].filter(({ claim }) => claim === undefined);
  }

  protected queue(name: string): Queue {
    const queue = this.#queues.get(name) ?? new Queue();
    this.#queues.set(name, queue);
    const now = Date.now();
    const due = [...queue.messages].filter((message) => message.place === undefined && message.due <= now);
    for (const message of due.sort((one, other) => one.due - other.due)) message.place = ++queue.places;
    return queue;
  }

  #changed({ listeners }: Queue): void {
    for (const listener of listeners) setImmediate(listener);
  }
}

function offer(message: Stored, group: string, { groups }: Queue): void {
  groups.get(group)?.set(message, { message, attempt: 1, due: message.due, claim: undefined });
}

function isReady({ due, message }: Entry, now: number): boolean {
  return due <= now && message.place !== undefined;
}

function byPlace(one: Entry, other: Entry): number {
  return Number(one.message.place) - Number(other.message.place);
}

// ---- What you write: the driver. ----

export interface StoreBackendOptions extends DriverOptions {
  readonly store: MessageStore;
}

export class StoreDriver implements PullDriver {
  readonly engine = 'the store';

  constructor(
    readonly store: MessageStore,
    readonly queue: string,
    readonly groups: readonly string[],
    readonly dedupeWindow: number,
  ) {}

  open(): Promise<void> {
    return this.store.open(this.queue, this.groups);
  }

  publish(messages: readonly OutgoingMessage[]): Promise<void> {
    return this.store.append(this.queue, messages, this.dedupeWindow);
  }

  async exchange(group: string, { settlements, demand }: ExchangeRequest): Promise<ExchangeReply> {
    const settled: boolean[] = [];
    for (const { message, outcome, attempt, delay } of settlements) {
      const requeue = outcome === 'requeue' ? { attempt, due: delay > 0 ? Date.now() + delay : 0 } : undefined;
      settled.push(await this.store.settle(this.queue, group, message.receipt, requeue));
    }
    return { settled, ...(await this.store.claim(this.queue, group, demand)) };
  }

  listen(_group: string, wake: () => void): () => void {
    return this.store.listen(this.queue, wake);
  }

  count(group: string | undefined): Promise<QueueStats> {
    return this.store.count(this.queue, group);
  }
}

export class StoreBackend<Events extends EventMap<Events> = AnyEvents> extends PullBackend<Events> {
  constructor({ store, name = 'default', groups = ['default'], dedupeWindow = 120_000, ...rest }: StoreBackendOptions) {
    super(new StoreDriver(store, name, groups, dedupeWindow), { name, groups, ...rest });
  }
}

/** All backends of this process share a store, as they would share a server. */
const store = new MessageStore();

/** Creates a backend. `loadBackend` calls this if the package is `sluice-backend-store` and QUEUE_BACKEND is `store`. */
export function fromEnv({
  QUEUE_NAME: name,
  QUEUE_GROUPS: groups,
}: Readonly<Record<string, string | undefined>>): StoreBackend {
  // An empty variable counts as one that is not set.
  const names = groups ? groups.split(',').map((group) => group.trim()) : undefined;
  if (names?.includes('')) throw new ConfigurationError('QUEUE_GROUPS must be a list of names, separated by commas.');
  return new StoreBackend({ store, name: name || undefined, groups: names });
}
