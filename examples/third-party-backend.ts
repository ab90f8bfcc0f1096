/**
 * A backend of one's own, complete: a queue in a store that is called over a network.
 *
 * `MessageStore` stands for what you have: a database, a broker, a service. `StoreBackend` makes a Sluice backend of it, and passes the contract suite.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as travel } from 'node:timers/promises';
import type { Subscriber } from 'rxjs';
import {
  type AnyEvents,
  type BackendStreams,
  ConfigurationError,
  checkDeclared,
  checkMessage,
  createStreams,
  type Delivery,
  type DeliveryOf,
  type EventMap,
  type Intake,
  type Logger,
  type MessageHeaders,
  type NackOptions,
  type PublishArguments,
  type PublishOptions,
  type QueueBackend,
  QueueClosedError,
  type QueueStats,
  type Settlement,
  type StatsOptions,
} from 'sluice';

// ---- What you have: here a Map, and calls that take their time. ----

interface Stored {
  readonly id: string;
  readonly key: string;
  /** JSON. */
  readonly payload: string;
  readonly headers: MessageHeaders;
  readonly publishedAt: number;
  /** The only group that gets it; undefined for all. */
  readonly group: string | undefined;
  readonly due: number;
  /** Where it stands in the queue; a delayed message gets its place when it falls due. */
  place: number | undefined;
}

/** What a group knows of a message that it has not settled. */
interface Entry {
  readonly message: Stored;
  attempt: number;
  due: number;
  /** Who has it; undefined while it waits. */
  claim: string | undefined;
}

interface Claimed extends Omit<Stored, 'place' | 'due'> {
  readonly attempt: number;
  readonly claim: string;
}

interface Queue {
  places: number;
  readonly messages: Map<string, Stored>;
  readonly groups: Map<string, Map<string, Entry>>;
  readonly listeners: Set<() => void>;
}

export class MessageStore {
  readonly #queues = new Map<string, Queue>();

  /** Creates groups that do not exist yet. They start with what the queue holds for all. */
  async open(name: string, groups: readonly string[]): Promise<void> {
    await travel();
    const queue = this.#queue(name);
    for (const group of groups) {
      if (queue.groups.has(group)) continue;
      queue.groups.set(group, new Map());
      for (const message of queue.messages.values()) if (message.group === undefined) offer(message, group, queue);
    }
  }

  async append(name: string, message: Omit<Stored, 'place'>): Promise<void> {
    await travel();
    const queue = this.#queue(name);
    const stored = { ...message, place: undefined };
    queue.messages.set(message.id, stored);
    for (const group of message.group === undefined ? queue.groups.keys() : [message.group])
      offer(stored, group, queue);
    this.#changed(queue);
  }

  /** Takes up to `count` messages, in order. Where there are fewer, `wait` says in how many milliseconds the next one falls due, if there is one. */
  async claim(
    name: string,
    group: string,
    count: number,
  ): Promise<{ readonly messages: readonly Claimed[]; readonly wait: number | undefined }> {
    await travel();
    const waiting = [...(this.#queue(name).groups.get(group)?.values() ?? [])].filter(
      ({ claim }) => claim === undefined,
    );
    const now = Date.now();
    const ready = waiting
      .filter((entry) => isReady(entry, now))
      .sort((a, b) => Number(a.message.place) - Number(b.message.place));
    const claimed = ready.slice(0, count).map((entry) => {
      const claim = randomUUID();
      entry.claim = claim;
      return { ...entry.message, attempt: entry.attempt, claim };
    });
    const next = Math.min(...waiting.map(({ due }) => due).filter((due) => due > now));
    return { messages: claimed, wait: Number.isFinite(next) ? next - now : undefined };
  }

  /** Ends a message for a group, or puts it back. Says whether the claim was still valid. */
  async settle(
    name: string,
    group: string,
    { id, claim }: Claimed,
    back?: { readonly attempt: number; readonly due: number },
  ): Promise<boolean> {
    await travel();
    const queue = this.#queue(name);
    const entries = queue.groups.get(group);
    const entry = entries?.get(id);
    if (entry?.claim !== claim) return false;
    if (back === undefined) {
      entries?.delete(id);
      if (![...queue.groups.values()].some((other) => other.has(id))) queue.messages.delete(id);
    } else {
      Object.assign(entry, back, { claim: undefined });
      this.#changed(queue);
    }
    return true;
  }

  async count(name: string, group?: string): Promise<QueueStats> {
    await travel();
    const { groups, messages } = this.#queue(name);
    const now = Date.now();
    const of = group === undefined ? [...groups.values()] : [groups.get(group) ?? new Map<string, Entry>()];
    const ready = new Set(
      of.flatMap((entries) =>
        [...entries.values()].filter((entry) => entry.claim === undefined && isReady(entry, now)),
      ),
    );
    const ids = new Set([...ready].map(({ message }) => message.id));
    return { ready: ids.size, unfinished: group === undefined ? messages.size : (of[0]?.size ?? 0) };
  }

  /** Calls back when there may be something to claim. Returns how to stop that. */
  listen(name: string, listener: () => void): () => void {
    const { listeners } = this.#queue(name);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  #queue(name: string): Queue {
    const queue = this.#queues.get(name) ?? { places: 0, messages: new Map(), groups: new Map(), listeners: new Set() };
    this.#queues.set(name, queue);
    const now = Date.now();
    const fallenDue = [...queue.messages.values()]
      .filter(({ place, due }) => place === undefined && due <= now)
      .sort((a, b) => a.due - b.due);
    for (const message of fallenDue) message.place = ++queue.places;
    return queue;
  }

  #changed({ listeners }: Queue): void {
    for (const listener of listeners) setImmediate(listener);
  }
}

function offer(message: Stored, group: string, { groups }: Queue): void {
  groups.get(group)?.set(message.id, { message, attempt: 1, due: message.due, claim: undefined });
}

function isReady({ due, message }: Entry, now: number): boolean {
  return due <= now && message.place !== undefined;
}

// ---- What you write: the backend. ----

export interface StoreBackendOptions {
  readonly store: MessageStore;
  /** Default: `default`. */
  readonly name?: string | undefined;
  /** The groups of the queue. Another one is refused. Default: `default`. */
  readonly groups?: readonly string[] | undefined;
  /** Default: the console. */
  readonly logger?: Logger | undefined;
}

export class StoreBackend<Events extends EventMap<Events> = AnyEvents> implements QueueBackend<Events> {
  readonly name: string;
  /** The streams, and the loops over them, come from one function that delivers to one subscriber. */
  readonly deliveries: BackendStreams<Events>['deliveries'];
  readonly consume: BackendStreams<Events>['consume'];
  readonly #store: MessageStore;
  readonly #groups: readonly string[];
  readonly #logger: Logger;
  readonly #consumers = new Map<string, GroupConsumer>();
  #opened: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor({ store, name = 'default', groups = ['default'], logger = console }: StoreBackendOptions) {
    this.name = name;
    this.#store = store;
    this.#groups = groups;
    this.#logger = logger;
    const { deliveries, consume } = createStreams<Events>((subscriber, intake) => this.#connect(subscriber, intake), {
      name,
      groups,
    });
    this.deliveries = deliveries;
    this.consume = consume;
  }

  publish(...message: PublishArguments<Events>): Promise<void>;
  async publish(key: string, payload: object, options?: PublishOptions): Promise<void> {
    const { delay, signal, ...checked } = checkMessage(key, payload, options);
    if (checked.group !== undefined) checkDeclared(checked.group, this.#groups, this.name);
    if (this.#closed !== undefined) throw new QueueClosedError(`Queue ${JSON.stringify(this.name)} is closed`);
    signal?.throwIfAborted();
    const publishedAt = Date.now();
    const message = {
      ...checked,
      payload: JSON.stringify(checked.payload),
      id: randomUUID(),
      publishedAt,
      due: publishedAt + delay,
    };
    await this.#open();
    await this.#store.append(this.name, message);
  }

  async stats({ group }: StatsOptions = {}): Promise<QueueStats> {
    if (group !== undefined) checkDeclared(group, this.#groups, this.name);
    await Promise.all([...this.#consumers.values()].map((consumer) => consumer.idle()));
    return this.#store.count(this.name, group);
  }

  close(): Promise<void> {
    this.#closed ??= Promise.all([...this.#consumers.values()].map((consumer) => consumer.close())).then(() => {});
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Nothing is asked of the store before somebody publishes or subscribes. */
  #open(): Promise<void> {
    this.#opened ??= this.#store.open(this.name, this.#groups);
    return this.#opened;
  }

  #connect(subscriber: Subscriber<Delivery>, { group, prefetch, signal }: Intake): void {
    if (this.#closed !== undefined) {
      subscriber.complete();
      return;
    }
    let consumer = this.#consumers.get(group);
    if (consumer === undefined) {
      consumer = new GroupConsumer(this.name, group, this.#store, this.#logger, this.#open());
      this.#consumers.set(group, consumer);
    }
    const subscription = new Subscription(consumer, subscriber, prefetch);
    const stop = () => subscription.stop();
    signal?.addEventListener('abort', stop);
    subscriber.add(() => {
      signal?.removeEventListener('abort', stop);
      subscription.leave();
    });
    consumer.join(subscription);
  }
}

/** The consumers of one group in this process: takes from the store what they have room for, and serves them in turn. */
class GroupConsumer {
  readonly #unlisten: () => void;
  #subscriptions: Subscription[] = [];
  /** Calls to the store, one after the other: what goes back is back before the next message is claimed. */
  #calls: Promise<unknown>;
  #claiming = false;
  #changed = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    readonly queueName: string,
    readonly group: string,
    readonly store: MessageStore,
    readonly logger: Logger,
    opened: Promise<void>,
  ) {
    this.#calls = opened;
    this.#unlisten = store.listen(queueName, () => this.wake());
  }

  join(subscription: Subscription): void {
    this.#subscriptions.push(subscription);
    this.wake();
  }

  leave(subscription: Subscription): void {
    this.#subscriptions = this.#subscriptions.filter((other) => other !== subscription);
    if (this.#subscriptions.length === 0) clearTimeout(this.#timer);
  }

  /** Looks for messages, if somebody has room for one. */
  wake(): void {
    this.#changed = true;
    if (!this.#claiming) void this.#claim();
  }

  settle(message: Claimed, back?: { readonly attempt: number; readonly due: number }): Promise<boolean> {
    return this.#call(() => this.store.settle(this.queueName, this.group, message, back));
  }

  async idle(): Promise<void> {
    await this.#calls;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unlisten();
    for (const subscription of this.#subscriptions) subscription.end();
    await this.#calls;
    clearTimeout(this.#timer);
  }

  #call<Value>(call: () => Promise<Value>): Promise<Value> {
    const answer = this.#calls.then(call);
    this.#calls = answer.catch(() => {});
    return answer;
  }

  async #claim(): Promise<void> {
    this.#claiming = true;
    while (this.#changed && !this.#closed) {
      this.#changed = false;
      clearTimeout(this.#timer);
      const room = this.#subscriptions.reduce((sum, { room }) => sum + room, 0);
      if (room === 0) break;
      const { messages, wait } = await this.#call(() => this.store.claim(this.queueName, this.group, room));
      for (const message of messages) this.#handOut(message);
      if (messages.length === room) this.#changed = true;
      else if (wait !== undefined && !this.#closed) this.#timer = setTimeout(() => this.wake(), Math.min(wait, 60_000));
    }
    this.#claiming = false;
  }

  /** To the next one in turn that has room; back, as if nothing had been, where everybody has left meanwhile. */
  #handOut(message: Claimed): void {
    const next = this.#closed ? undefined : this.#subscriptions.find(({ room }) => room > 0);
    if (next === undefined) {
      void this.settle(message, { attempt: message.attempt, due: 0 });
      return;
    }
    this.leave(next);
    this.#subscriptions.push(next);
    next.take(message);
  }
}

/** One subscriber, and what it holds: never more than its prefetch. */
class Subscription {
  readonly #held = new Set<Loan>();
  #stopped = false;

  constructor(
    readonly consumer: GroupConsumer,
    readonly subscriber: Subscriber<Delivery>,
    readonly prefetch: number,
  ) {}

  get room(): number {
    return this.#stopped ? 0 : this.prefetch - this.#held.size;
  }

  take(message: Claimed): void {
    const loan = new Loan(this, message);
    this.#held.add(loan);
    this.subscriber.next(loan);
  }

  /** A delivery was settled for the first time: its room is free at once, and the store is told. */
  async settle(loan: Loan, back?: { readonly attempt: number; readonly due: number }): Promise<boolean> {
    this.#held.delete(loan);
    const settled = this.consumer.settle(loan.message, back);
    this.consumer.wake();
    this.#completeIfDone();
    const counted = await settled;
    if (!counted) this.warn(loan, 'its claim was no longer valid');
    return counted;
  }

  warn({ id, key, queue, attempt }: Loan, why: string): void {
    const { group, logger } = this.consumer;
    logger.warn(`A settlement of delivery ${id} from queue ${JSON.stringify(queue)} changed nothing: ${why}`, {
      queue,
      group,
      key,
      id,
      attempt,
    });
  }

  /** The signal was aborted: nothing more comes in, what is out can be settled. */
  stop(): void {
    this.#stopped = true;
    this.#completeIfDone();
  }

  /** The subscriber has left: what is out goes back. */
  leave(): void {
    this.#stopped = true;
    this.consumer.leave(this);
    for (const loan of this.#held) loan.recall();
    this.#held.clear();
  }

  end(): void {
    this.leave();
    this.subscriber.complete();
  }

  #completeIfDone(): void {
    if (this.#stopped && this.#held.size === 0) this.subscriber.complete();
  }
}

/** A message on loan. The first settlement counts. */
class Loan implements DeliveryOf<string, object> {
  readonly queue: string;
  readonly id: string;
  readonly key: string;
  readonly payload: object;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
  settled: Settlement = false;

  constructor(
    readonly subscription: Subscription,
    readonly message: Claimed,
  ) {
    this.queue = subscription.consumer.queueName;
    this.id = message.id;
    this.key = message.key;
    this.payload = JSON.parse(message.payload) as object;
    this.headers = message.headers;
    this.attempt = message.attempt;
    this.publishedAt = message.publishedAt;
  }

  ack(): Promise<boolean> {
    return this.#settle('acked');
  }

  async nack({ delay = 0 }: NackOptions = {}): Promise<boolean> {
    if (typeof delay !== 'number') throw new TypeError(`Expected \`delay\` to be a number, got ${typeof delay}`);
    if (!(delay >= 0 && delay < Number.POSITIVE_INFINITY))
      throw new RangeError(`Expected \`delay\` to be finite and at least 0, got ${delay}`);
    return this.#settle('retried', { attempt: this.attempt + 1, due: Date.now() + delay });
  }

  release(): Promise<boolean> {
    return this.#settle('released', { attempt: this.attempt, due: 0 });
  }

  reject(reason?: unknown): Promise<boolean> {
    if (this.settled === false) {
      const { id, key, queue, attempt } = this;
      const { group, logger } = this.subscription.consumer;
      logger.debug(`Delivery ${id} from queue ${JSON.stringify(queue)} was rejected`, {
        queue,
        group,
        key,
        id,
        attempt,
        error: reason,
      });
    }
    return this.#settle('rejected');
  }

  /** It goes back because its subscriber left. */
  recall(): void {
    this.settled = 'retried';
    void this.subscription.consumer.settle(this.message, { attempt: this.attempt + 1, due: 0 });
  }

  async #settle(how: Settlement, back?: { readonly attempt: number; readonly due: number }): Promise<boolean> {
    if (this.settled !== false) {
      this.subscription.warn(this, `it was already ${this.settled}`);
      return false;
    }
    this.settled = how;
    return this.subscription.settle(this, back);
  }
}

/** All backends of this process share a store, as they would share a server. */
const store = new MessageStore();

/** What `loadBackend` calls, if this is the package `sluice-backend-store` and the environment says QUEUE_BACKEND=store. */
export function fromEnv({
  QUEUE_NAME: name,
  QUEUE_GROUPS: groups,
}: Readonly<Record<string, string | undefined>>): StoreBackend {
  // An empty variable counts as one that is not set.
  const names = groups ? groups.split(',').map((group) => group.trim()) : undefined;
  if (names?.includes(''))
    throw new ConfigurationError('Expected QUEUE_GROUPS to be a list of names with commas between them');
  return new StoreBackend({ store, name: name || undefined, groups: names });
}
