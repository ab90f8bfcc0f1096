import { setTimeout as sleep } from 'node:timers/promises';
import type { PurgeOptions } from 'sluice';
import { ManagedStore } from '../managed-store.js';
import { brokenQueues, type Change, type DefectiveQueue } from './managed.js';

const EMPTY = 'admin: purge() of an empty queue resolves to 0';
const ALL = 'admin: purge() removes ready and delayed messages, and resolves to their number';
const MEANWHILE = 'admin: purge() removes messages whose delay ends meanwhile';
const IN_FLIGHT = 'admin: purge() removes no message that is in flight';
const ONE_GROUP = 'admin: purge() of one group leaves the other groups their messages';

type StoredGroups = ReturnType<ManagedStore['queue']>['groups'];
type Entry = StoredGroups extends Map<string, Map<infer _, infer Value>> ? Value : never;

/** Replaces `purge()`. */
function purging(purge: (queue: DefectiveQueue, options: PurgeOptions) => Promise<number>): Change {
  return (queue) => ({ purge: (options = {}) => purge(queue, options) });
}

/** Removes only some of the waiting messages. */
class PartialStore extends ManagedStore {
  constructor(readonly removes: (entry: Entry, index: number) => boolean) {
    super();
  }

  override async purge(name: string, group?: string): Promise<number> {
    const kept: Entry[] = [];
    for (const entries of this.queue(name).groups.values()) {
      for (const [index, entry] of [...entries.values()].entries()) {
        if (entry.claim === undefined && !this.removes(entry, index)) kept.push(entry);
      }
    }
    for (const entry of kept) entry.claim = 'kept';
    const removed = await super.purge(name, group);
    for (const entry of kept) entry.claim = undefined;
    return removed;
  }
}

/** Removes ready messages, and later those that are still delayed. */
function slowStore(): ManagedStore {
  let ready = true;
  const store = new PartialStore(({ due }) => due <= Date.now() === ready);
  const purge = store.purge.bind(store);
  store.purge = async (name, group) => {
    ready = true;
    const removed = await purge(name, group);
    await sleep(100);
    ready = false;
    return removed + (await purge(name, group));
  };
  return store;
}

/** Removes waiting messages from all groups, also from one that has them in flight. */
class SweepingStore extends ManagedStore {
  override async purge(name: string, group?: string): Promise<number> {
    const { groups } = this.queue(name);
    const waiting = [...groups.values()].flatMap((entries) =>
      [...entries].filter(([, { claim }]) => claim === undefined).map(([message]) => message),
    );
    const removed = await super.purge(name, group);
    for (const message of waiting) for (const entries of groups.values()) entries.delete(message);
    return removed;
  }
}

/** Removes all messages, also those in flight. */
class EmptyingStore extends ManagedStore {
  override async purge(name: string): Promise<number> {
    const { groups, messages } = this.queue(name);
    const count = messages.size;
    for (const entries of groups.values()) entries.clear();
    messages.clear();
    return count;
  }
}

/** Removes the listeners of consumers too. */
class DeletingStore extends ManagedStore {
  override async purge(name: string, group?: string): Promise<number> {
    const removed = await super.purge(name, group);
    this.queue(name).listeners.clear();
    return removed;
  }
}

/** Counts delayed messages as removed, and delivers them when they are due. */
class HidingStore extends ManagedStore {
  override async purge(name: string, group?: string): Promise<number> {
    const { groups, messages } = this.queue(name);
    const delayed = [...messages].filter(({ due }) => due > Date.now());
    const removed = await super.purge(name, group);
    for (const message of delayed) {
      const restore = () => {
        messages.add(message);
        groups.get('default')?.set(message, { message, attempt: 1, due: 0, claim: undefined });
      };
      setTimeout(restore, message.due - Date.now()).unref();
    }
    return removed;
  }
}

class EverywhereStore extends ManagedStore {
  readonly #names = new Set<string>();

  override async open(name: string, groups: readonly string[]): Promise<void> {
    this.#names.add(name);
    await super.open(name, groups);
  }

  override async purge(name: string): Promise<number> {
    const removed = await super.purge(name);
    await Promise.all([...this.#names].map((each) => super.purge(each)));
    return removed;
  }
}

/** Managed queues with defects in `purge()`. */
export const purgingBackends = brokenQueues([
  {
    defect: 'does not return the number of purged messages',
    caughtBy: EMPTY,
    saying: /Expected purge\(\) to resolve to 0, got undefined/,
    change: purging(async (queue) => {
      await queue.purge();
      return undefined as unknown as number;
    }),
  },
  {
    defect: 'returns the number of messages and purges none',
    caughtBy: EMPTY,
    saying: /Expected purge\(\) to resolve to 0, got 2/,
    change: purging(async (queue) => (await queue.stats()).unfinished),
  },
  {
    defect: 'purges only ready messages',
    caughtBy: ALL,
    saying: /Expected purge\(\) to resolve to 5, got 3/,
    store: new PartialStore(({ due }) => due <= Date.now()),
  },
  {
    defect: 'leaves messages whose delay ends during a purge',
    caughtBy: MEANWHILE,
    saying: /Expected purge\(\) to resolve to 40, got \d+/,
    store: slowStore(),
  },
  {
    defect: 'counts only ready messages when it purges',
    caughtBy: ALL,
    saying: /Expected purge\(\) to resolve to 5, got 3/,
    change: purging(async (queue, options) => {
      const { ready } = await queue.stats(options);
      await queue.purge(options);
      return ready;
    }),
  },
  {
    defect: 'purges messages in flight',
    caughtBy: IN_FLIGHT,
    saying: /Expected purge\(\) to resolve to 3, got 6/,
    store: new EmptyingStore(),
  },
  {
    defect: 'counts messages in flight when it purges',
    caughtBy: IN_FLIGHT,
    saying: /Expected purge\(\) to resolve to 3, got 6/,
    change: purging(async (queue, options) => {
      const { unfinished } = await queue.stats(options);
      await queue.purge(options);
      return unfinished;
    }),
  },
  {
    defect: 'does not purge requeued messages',
    caughtBy: 'admin: purge() removes requeued messages and those nacked with a delay',
    saying: /Expected purge\(\) to resolve to 4, got 2/,
    store: new PartialStore(({ attempt }) => attempt === 1),
  },
  {
    defect: 'never wakes its consumers after a purge',
    caughtBy: 'admin: publishing goes on after purge(): waiting consumers get what follows, in order',
    saying: /Waited \d+ ms for deliveries of \[1 3\], got \[1\]/,
    store: new DeletingStore(),
  },
  {
    defect: 'delivers purged messages when they would become due',
    caughtBy: 'admin: a delayed message that purge() removed does not arrive when it would become due',
    saying: /Expected deliveries of \[2\], got \[1/,
    store: new HidingStore(),
  },
  {
    defect: 'purges a thousand messages at most',
    caughtBy: 'admin: purge() removes thousands of messages',
    saying: /Expected purge\(\) to resolve to 3100, got 1000/,
    capabilities: { deadline: 10_000 },
    store: new PartialStore((_, index) => index < 1000),
  },
  {
    defect: 'purges all groups instead of one',
    caughtBy: ONE_GROUP,
    saying: /Expected purge\(\) to resolve to 4, got 5/,
    change: purging((queue) => queue.purge()),
  },
  {
    defect: 'purges a delayed message of one group from all groups',
    caughtBy: 'admin: purge() of one group removes a delayed message for that group only',
    saying: /stats\(\) of group "audit" to say \{"ready":0,"unfinished":1\}, got \{"ready":0,"unfinished":0\}/,
    change: purging((queue) => queue.purge()),
  },
  {
    defect: 'purges the messages of one group from all groups',
    caughtBy: ONE_GROUP,
    saying: /stats\(\) of group "audit" to say \{"unfinished":3\}, got \{"ready":\d,"unfinished":0\}/,
    change: purging(async (queue, options) => {
      const removed = await queue.purge(options);
      await queue.purge();
      return removed;
    }),
  },
  {
    defect: 'counts a purged message once for each group',
    caughtBy: 'admin: purge() of all groups counts each message once',
    saying: /Expected purge\(\) to resolve to 6, got 10/,
    change: purging(async (queue) => {
      const removed = await Promise.all(queue.declared.map((group) => queue.purge({ group })));
      return removed.reduce((sum, count) => sum + count, 0);
    }),
  },
  {
    defect: 'purges a message in flight that waits in another group',
    caughtBy: 'admin: purge() of all groups keeps what one group has in flight, for that group',
    saying: /stats\(\) of group "billing" to say \{"ready":0,"unfinished":1\}, got \{"ready":0,"unfinished":0\}/,
    store: new SweepingStore(),
  },
  {
    defect: 'purges only its own messages',
    caughtBy: 'admin: purge() removes what other backends published, not what they have in flight',
    saying: /Expected purge\(\) to resolve to 4, got 0/,
    change: (queue) => {
      let published = 0;
      return {
        publish: async (...message) => {
          published++;
          await queue.publish(...message);
        },
        purge: async (options) => (published === 0 ? 0 : queue.purge(options)),
      };
    },
  },
  {
    defect: 'purges messages that another backend has in flight',
    caughtBy: 'admin: purge() removes what other backends published, not what they have in flight',
    saying: /Expected purge\(\) to resolve to 4, got 6/,
    store: new EmptyingStore(),
  },
  {
    defect: 'purges every queue',
    caughtBy: 'admin: purge() concerns its own queue only',
    saying: /Waited \d+ ms for deliveries of \[1 2\], got \[\]/,
    store: new EverywhereStore(),
  },
  {
    defect: 'resolves to 0 for an undeclared group',
    caughtBy:
      'admin: purge() of a group that was not declared is refused with a ConfigurationError, and removes nothing',
    saying: /Expected purge\(\) of an undeclared group to reject, but it resolved/,
    change: purging((queue, options) => queue.purge(options).catch(() => 0)),
  },
]);
