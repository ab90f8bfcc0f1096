import type {
  MemoryBackend,
  MemoryBackendOptions,
  MessageHeaders,
  MessageView,
  PublishOptions,
  QueuePayload,
} from 'sluice';
import type { Dot, GroupView, QueueView } from './snapshot.js';
import { Dots, MOST_DOTS, TrackedGroup } from './tracking.js';

const DEFAULT_GROUP = 'default';
/** How many messages are looked at for a snapshot. Delayed ones come after the ready ones. */
const MOST_PEEKED = 300;
const MOST_ORIGINS = 500;

interface Publishing {
  readonly id: string;
  readonly key: string;
  readonly payload: QueuePayload;
}

let lastQueue = 0;
let lastMessage = 0;

/** What the observer knows of one queue. */
export class ObservedQueue {
  /** Distinguishes queues of one name. */
  readonly #number = ++lastQueue;
  readonly #dots = new Dots();
  readonly #groups = new Map<string, TrackedGroup>();
  readonly #name: string;
  readonly #others: readonly ObservedQueue[];
  readonly #changed: () => void;
  readonly #capacity: number | undefined;
  /** Whether a full queue lets its publishers wait. */
  readonly #waits: boolean;
  /** Publishes that have not been taken yet, in their order. */
  #publishing: Publishing[] = [];
  /** The dots that dead letters were before, by the ids of the messages. */
  readonly #origins = new Map<string, string>();
  #published = 0;
  /** Whether the queue was used. Before, it is not asked: that would count as a use. */
  #used = false;
  /** Whether it was asked for its groups. */
  #asked = false;

  /** @param others all observed queues */
  constructor(
    private readonly queue: MemoryBackend,
    options: MemoryBackendOptions,
    others: readonly ObservedQueue[],
    changed: () => void,
  ) {
    const { capacity, overflow = 'wait', groups } = options;
    this.#name = queue.name;
    this.#others = others;
    this.#changed = changed;
    this.#capacity = capacity !== undefined && Number.isFinite(capacity) ? capacity : undefined;
    this.#waits = this.#capacity !== undefined && overflow === 'wait';
    for (const name of groups === undefined || groups === 'ignored' ? [DEFAULT_GROUP] : groups) this.#addGroup(name);
    queue.published$.subscribe(([key, payload]) => this.#taken(key, payload));
    queue.unfinished$.subscribe({ next: changed, complete: changed });
    queue.status$.subscribe((status) => {
      this.#used = status !== 'idle';
      changed();
    });
  }

  /** Returns a group. Where groups are ignored, there is one for all names. */
  groupOf(name: string = DEFAULT_GROUP): TrackedGroup {
    return this.#groups.get(name) ?? (this.#groups.values().next().value as TrackedGroup);
  }

  publish(key: string, payload: QueuePayload, options: PublishOptions | undefined): Promise<void> {
    const isPlain = options === undefined || (typeof options === 'object' && options !== null);
    if (!isPlain || options?.id !== undefined) return this.queue.publish(key, payload, options);
    const id = `~${++lastMessage}`;
    this.#noteOrigin(id, key, payload, options?.headers);
    const waiting = { id, key, payload };
    this.#dots.note(key);
    // Noted before the call: the queue takes the message within it, if there is room.
    if (this.#waits && !this.queue.closed) this.#publishing.push(waiting);
    const answer = this.queue.publish(key, payload, { ...options, id });
    // Not taken although there is room: it was refused.
    if (this.#waits && this.queue.size < (this.#capacity as number)) this.#gaveUp(waiting);
    options?.signal?.addEventListener('abort', () => this.#gaveUp(waiting), { once: true });
    this.#changed();
    return answer;
  }

  /** Finds out the groups. */
  async prepare(): Promise<void> {
    if (!this.#used || this.#asked) return;
    const names = (await this.queue.groups()).map(({ name }) => name);
    this.#asked = true;
    for (const name of this.#groups.keys()) if (!names.includes(name)) this.#groups.delete(name);
    for (const name of names) this.#addGroup(name);
  }

  /** Everything is read within this call, also what the promises of the queue resolve to. */
  view(now: number): Promise<QueueView> {
    const { queue } = this;
    if (queue.closed || (this.#waits && queue.size < (this.#capacity as number))) this.#publishing = [];
    const asked = this.#used && this.#asked;
    const limit = Math.min(Math.max(queue.size, 1), MOST_PEEKED);
    const clock = Date.now();
    const timeOf = (due: number) => now + due - clock;
    const infos = asked ? queue.groups() : Promise.resolve([]);
    const stats = asked ? queue.stats() : Promise.resolve({ ready: 0 });
    const groups = [...this.#groups].map(([name, group]) => {
      const messages = asked ? queue.peek({ group: name, limit }) : Promise.resolve([]);
      const { shown, others } = group.consumers();
      const { inFlight } = group;
      const view = {
        name,
        ...group.counts,
        finished: [...group.finished],
        consumers: shown,
        otherConsumers: others,
      };
      return Promise.all([infos, messages]).then(([found, peeked]): GroupView => {
        const { ready = 0, unfinished = 0 } = found.find((info) => info.name === name) ?? {};
        const delayedCount = Math.max(0, unfinished - ready - inFlight);
        group.hasDelays ||= delayedCount > 0;
        return { ...view, ready, delayedCount, hasDelays: group.hasDelays, ...this.#dotsOf(group, peeked, timeOf) };
      });
    });
    const view = {
      name: queue.name,
      capacity: this.#capacity,
      closed: queue.closed,
      size: queue.size,
      inFlight: queue.inFlight,
      unfinished: queue.unfinished,
      published: this.#published,
      publishing: this.#publishing
        .slice(0, MOST_DOTS)
        .map(({ id, key, payload }) => this.#dots.dotOf(this.#publishId(id), { key, payload, attempt: 1 })),
      publishingCount: this.#publishing.length,
    };
    return Promise.all([stats, Promise.all(groups)]).then(([{ ready }, views]) => ({ ...view, ready, groups: views }));
  }

  #dotsOf(
    group: TrackedGroup,
    messages: readonly MessageView[],
    timeOf: (due: number) => number,
  ): Pick<GroupView, 'waiting' | 'delayed'> {
    const waiting: Dot[] = [];
    const delayed: Dot[] = [];
    for (const message of messages) {
      const { id, due } = message;
      const origin = this.#origins.get(id) ?? this.#publishId(id);
      const deadLetter = message.headers['sluice-queue'] !== undefined;
      const dot = { ...this.#dots.dotOf(group.dotId(id), message), origin, deadLetter };
      if (due === undefined) waiting.push(dot);
      else delayed.push({ ...dot, due: timeOf(due) });
    }
    return { waiting: waiting.slice(0, MOST_DOTS), delayed: delayed.slice(0, MOST_DOTS) };
  }

  #publishId(message: string): string {
    return `${this.#number}:publish:${message}`;
  }

  #addGroup(name: string): void {
    if (this.#groups.has(name)) return;
    this.#groups.set(name, new TrackedGroup(`${this.#number}:${name}`, this.#dots, this.#changed));
  }

  /** The queue has taken a message: that of the publish which has waited longest. */
  #taken(key: string, payload: QueuePayload): void {
    this.#published++;
    this.#dots.note(key);
    const own = this.#publishing.findIndex((one) => one.key === key && one.payload === payload);
    // With `validate: 'json'`, the queue has a copy.
    const index = own === -1 ? this.#publishing.findIndex((one) => one.key === key) : own;
    if (index !== -1) this.#publishing.splice(index, 1);
    this.#changed();
  }

  #gaveUp(publishing: Publishing): void {
    const index = this.#publishing.indexOf(publishing);
    if (index === -1) return;
    this.#publishing.splice(index, 1);
    this.#changed();
  }

  /** Notes which delivery became a dead letter, by the headers that `handle` gives it. */
  #noteOrigin(id: string, key: string, payload: QueuePayload, headers: MessageHeaders | undefined): void {
    const [name, group] = [headers?.['sluice-queue'], headers?.['sluice-group']];
    if (name === undefined) return;
    for (const queue of this.#others) {
      const origin = queue.#name === name ? queue.groupOf(group).findStored(key, payload) : undefined;
      if (origin === undefined) continue;
      this.#origins.set(id, origin);
      if (this.#origins.size > MOST_ORIGINS) this.#origins.delete(this.#origins.keys().next().value as string);
      return;
    }
  }
}
