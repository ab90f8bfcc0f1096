import { setImmediate as turn } from 'node:timers/promises';
import { map } from 'rxjs';
import { BackendUnavailableError, type Delivery, type PublishOptions } from 'sluice';
import { ManagedStore } from '../managed-store.js';
import { brokenQueues, type Change, type DefectiveQueue } from './managed.js';
import { asStream, changed } from './wrapped.js';

type Message = Parameters<ManagedStore['append']>[1][number];

const SAME_ID = 'rule 15: a message that is published with an id has that id on every delivery';
const SECOND = 'rule 15: a second publish with the same id resolves and is not stored';
const WINDOW = 'rule 15: an id is a duplicate within the dedupe window, and stored again after it';
const DELAYED = 'rule 15: a delayed message and its delayed duplicates are one message';

/** Publishes with other options. */
function publishingWith(change: (options: PublishOptions, n: unknown) => PublishOptions): Change {
  return (queue) => ({
    publish: async (key: string, payload: object, options: PublishOptions = {}) =>
      queue.publish(key, payload, change(options, (payload as { n?: unknown }).n)),
  });
}

/** Delivers other ids. */
function deliveringIds(idOf: (delivery: Delivery) => string): Change {
  return (queue) => ({
    deliveries: (options) => {
      const stream = queue.deliveries(options);
      return asStream(stream.pipe(map((delivery) => changed(delivery, { id: idOf(delivery) }))), stream);
    },
  });
}

let stored = 0;

/** An id that no other message has. */
function unique({ id }: Message): string {
  return `${id} ${++stored}`;
}

/** Stores messages under other ids. */
class RenamingStore extends ManagedStore {
  constructor(readonly rename: (message: Message) => string) {
    super();
  }

  override append(name: string, messages: readonly Message[], window: number): Promise<void> {
    const renamed = messages.map((message) => ({ ...message, id: this.rename(message) }));
    return super.append(name, renamed, window);
  }
}

class ShortWindowStore extends ManagedStore {
  override append(name: string, messages: readonly Message[], window: number): Promise<void> {
    return super.append(name, messages, window / 10);
  }
}

class ForgettingStore extends ManagedStore {
  forgetIds(name: string): void {
    this.queue(name).ids.clear();
  }
}

const forgetting = new ForgettingStore();

/** Checks for duplicates and stores the messages later. */
class RacingStore extends ManagedStore {
  readonly #ids = new Set<string>();

  override async append(name: string, messages: readonly Message[], window: number): Promise<void> {
    const fresh = messages.filter(({ id }) => !this.#ids.has(id));
    await turn();
    for (const { id } of fresh) this.#ids.add(id);
    const renamed = fresh.map((message) => ({ ...message, id: unique(message) }));
    await super.append(name, renamed, window);
  }
}

class SettledStore extends ManagedStore {
  override async settle(...settlement: Parameters<ManagedStore['settle']>): Promise<boolean> {
    const [name, group, receipt, requeue] = settlement;
    const { groups, ids } = this.queue(name);
    for (const { claim, message } of groups.get(group)?.values() ?? []) {
      if (claim === receipt && requeue === undefined) ids.delete(message.id);
    }
    return super.settle(...settlement);
  }
}

/** Enqueues a duplicate for the groups that have settled the message. */
class GroupwiseStore extends ManagedStore {
  override async append(name: string, messages: readonly Message[], window: number): Promise<void> {
    const queue = this.queue(name);
    for (const message of messages.filter(({ id }) => queue.ids.has(id))) {
      for (const entries of queue.groups.values()) {
        if ([...entries.keys()].some(({ id }) => id === message.id)) continue;
        const stored = { ...message, due: 0, place: ++queue.places };
        entries.set(stored, { message: stored, attempt: 1, due: 0, claim: undefined });
      }
    }
    await super.append(name, messages, window);
  }
}

/** Publishes a message if its id is new. */
function remembering(ids: Set<string>, queue: DefectiveQueue) {
  return async (key: string, payload: object, options: PublishOptions = {}) => {
    const { id } = options;
    if (id !== undefined && ids.has(id)) return;
    if (id !== undefined) ids.add(id);
    await queue.publish(key, payload, options);
  };
}

const everywhere = new Set<string>();

/** Backends with defects in the `id` of a publish. */
export const deduplicating = brokenQueues([
  {
    defect: 'ignores the id of a publish',
    caughtBy: SAME_ID,
    saying: /Expected `delivery\.id` to be the `id` of the publish/,
    change: publishingWith(({ id, ...options }) => options),
  },
  {
    defect: 'cuts ids to 64 characters',
    caughtBy: SAME_ID,
    saying: /Expected `delivery\.id` to be the `id` of the publish/,
    change: publishingWith((options) => ({ ...options, id: options.id?.slice(0, 64) })),
  },
  {
    defect: 'ignores the case of ids',
    caughtBy: SAME_ID,
    saying: /15 deliveries, got 14/,
    change: publishingWith((options) => ({ ...options, id: options.id?.toLowerCase() })),
  },
  {
    defect: 'delivers another id after the first delivery',
    caughtBy: SAME_ID,
    saying: /Expected `delivery\.id` to be the `id` of the publish/,
    change: deliveringIds(({ id, attempt }) => (attempt === 1 ? id : `${id}:${attempt}`)),
  },
  {
    defect: 'loses the id of a delayed message',
    caughtBy: 'rule 15: a delayed message that is published with an id has that id',
    saying: /- 'late'/,
    change: publishingWith(({ id, ...options }) => (options.delay === undefined ? { ...options, id } : options)),
  },
  {
    defect: 'accepts any id',
    caughtBy: 'rule 15: an invalid id is refused, and nothing is enqueued',
    saying: /Expected publish\(\) with an empty id to reject/,
    change: publishingWith((options) => ({ ...options, id: String(options.id).slice(0, 9) || 'none' })),
  },
  {
    defect: 'throws for an invalid id',
    caughtBy: 'rule 15: an invalid id is refused, and nothing is enqueued',
    saying: /publish\(\) with an empty id to return a promise that rejects, but it threw/,
    change: (queue) => ({
      publish: (key: string, payload: object, options: PublishOptions = {}) => {
        if (options.id === '') throw new RangeError('Expected `id` not to be empty');
        return queue.publish(key, payload, options);
      },
    }),
  },
  {
    defect: 'rejects a duplicate',
    caughtBy: SECOND,
    saying: /Duplicate id a/,
    change: (queue) => {
      const ids = new Set<unknown>();
      return {
        publish: async (key: string, payload: object, { id, ...options }: PublishOptions = {}) => {
          if (id !== undefined && ids.has(id)) throw new Error(`Duplicate id ${id}`);
          ids.add(id);
          await queue.publish(key, payload, { ...options, id });
        },
      };
    },
  },
  {
    defect: 'stores duplicates',
    caughtBy: SECOND,
    saying: /stats\(\) to say \{"ready":5,"unfinished":5\}, got \{"ready":7,"unfinished":7\}/,
    store: new RenamingStore(unique),
  },
  {
    defect: 'replaces a message by its duplicate',
    caughtBy: SECOND,
    saying: /Expected deliveries of \[1 2 4 6 6\], got \[3/,
    change: (queue) => {
      const latest = new Map<string, object>();
      return {
        publish: (key: string, payload: object, options?: PublishOptions) => {
          if (options?.id !== undefined) latest.set(options.id, payload);
          return queue.publish(key, payload, options);
        },
        deliveries: (options) => {
          const stream = queue.deliveries(options);
          const payloadOf = ({ id, payload }: Delivery) => ({ payload: latest.get(id) ?? payload });
          return asStream(stream.pipe(map((delivery) => changed(delivery, payloadOf(delivery)))), stream);
        },
      };
    },
  },
  {
    defect: 'forgets an id when its message is settled',
    caughtBy: 'rule 15: a duplicate is recognised while the message is in flight, after a nack and after an ack',
    saying: /Expected deliveries of \[1 1 2\], got \[1 1 99/,
    store: new SettledStore(),
  },
  {
    defect: 'checks for duplicates before it stores, not atomically',
    caughtBy: 'rule 15: of many publishes at once with one id, only the first is stored',
    saying: /Expected deliveries of \[1 2 3 4 5 6 7 8 9 10 201\], got \[1 2 3 4 5 6 7 8 9 10 11/,
    store: new RacingStore(),
  },
  {
    defect: 'never forgets an id',
    caughtBy: WINDOW,
    saying: /Waited \d+ ms for an id to be stored again after the dedupe window/,
    capabilities: { deadline: 3000 },
    change: (queue) => ({ publish: remembering(new Set(), queue) }),
  },
  {
    defect: 'forgets ids before the dedupe window ends',
    caughtBy: WINDOW,
    saying: /stats\(\) to say \{"ready":1,"unfinished":1\}, got \{"ready":2,"unfinished":2\}/,
    capabilities: { deadline: 3000 },
    store: new ShortWindowStore(),
  },
  {
    defect: 'does not deduplicate delayed messages',
    caughtBy: DELAYED,
    saying: /stats\(\) to say \{"ready":0,"unfinished":1\}, got \{"ready":\d,"unfinished":2\}/,
    store: new RenamingStore((message) => (message.delay > 0 ? unique(message) : message.id)),
  },
  {
    defect: 'deduplicates delayed messages apart from the others',
    caughtBy: 'rule 15: a delayed message and a message without a delay are duplicates of each other',
    saying: /stats\(\) to say \{"ready":0,"unfinished":1\}, got \{"ready":1,"unfinished":2\}/,
    store: new RenamingStore(({ id, delay }) => (delay > 0 ? `delayed ${id}` : id)),
  },
  {
    defect: 'remembers the id of a publish that it refused',
    caughtBy: 'rule 15: an id that a refused publish named can be published',
    saying: /Expected publish\(\) of an invalid key to reject, but it resolved/,
    change: (queue) => ({ publish: remembering(new Set(), queue) }),
  },
  {
    defect: 'deduplicates across queues',
    caughtBy: 'rule 15: queues deduplicate each on its own',
    saying: /Expected deliveries of \[1 3\], got \[3/,
    change: (queue) => ({ publish: remembering(everywhere, queue) }),
  },
  {
    defect: 'enqueues a duplicate for the groups that have settled the message',
    caughtBy: 'rule 15: a duplicate reaches no group, whichever group has settled the message',
    saying: /Expected deliveries of \[1 3\], got \[1 2/,
    store: new GroupwiseStore(),
  },
  {
    defect: 'deduplicates each group on its own',
    caughtBy:
      'rule 15: an id belongs to the queue: a publish for one group and a publish for all deduplicate each other',
    saying: /Expected deliveries of \[1 4 6\], got \[1 3/,
    store: new RenamingStore(({ id, group }) => `${id} ${group}`),
  },
  {
    defect: 'deduplicates in each process only',
    caughtBy: 'rule 15: two backends of one queue deduplicate together',
    saying: /Expected deliveries of \[1 3 5 6\], got \[1 2/,
    store: new RenamingStore(unique),
    change: (queue) => ({ publish: remembering(new Set(), queue) }),
  },
  {
    defect: 'forgets ids when their publisher is closed',
    caughtBy: 'rule 15: an id is a duplicate after its publisher was closed',
    saying: /Expected deliveries of \[1 5\], got \[1 3/,
    store: forgetting,
    change: (queue) => ({
      close: async () => {
        forgetting.forgetIds(queue.name);
        await queue.close();
      },
    }),
  },
  {
    defect: 'stores a message again when its confirm was lost',
    caughtBy: 'rule 15: a publish that is repeated after a lost connection is stored once',
    saying: /stats\(\) to say \{"ready":300,"unfinished":300\}, got \{"ready":303,"unfinished":303\}/,
    change: (queue) => {
      let cut = false;
      const lost = {
        disconnect: async () => {
          cut = true;
        },
      };
      return {
        ...lost,
        publish: async (key: string, payload: object, { id, ...options }: PublishOptions = {}) => {
          if (!cut) return queue.publish(key, payload, { ...options, id });
          cut = false;
          await queue.publish(key, payload, options);
          throw new BackendUnavailableError('The connection was lost before the confirm');
        },
      };
    },
  },
]);
