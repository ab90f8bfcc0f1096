import { setImmediate as turn } from 'node:timers/promises';
import { ConfigurationError, type GroupInfo, type ManagedQueue } from 'sluice';
import { ManagedStore } from '../managed-store.js';
import { brokenQueues, type Change, type DefectiveQueue } from './managed.js';

const DEFAULT = 'admin: groups() of a queue without declared groups lists `default`, with its counts';
const DECLARED = 'admin: groups() lists each declared group with its own counts';
const FOREIGN = 'admin: groups() lists a group that only another process declares, with `declared: false`';
const REFUSED = 'admin: deleteGroup() of a declared group is refused with a ConfigurationError, and removes nothing';
const UNKNOWN = 'admin: deleteGroup() of an unknown group resolves to false, and creates nothing';
const DELETED = 'admin: deleteGroup() of a group of another process resolves to true, and its messages no longer count';

/** Changes the listed groups. */
function listing(change: (group: GroupInfo) => Partial<GroupInfo>): Change {
  return (queue) => ({ groups: async () => (await queue.groups()).map((group) => ({ ...group, ...change(group) })) });
}

/** Replaces `deleteGroup()`. */
function deleting(deleteGroup: (queue: DefectiveQueue, group: string) => Promise<boolean>): Change {
  return (queue) => ({ deleteGroup: (group) => deleteGroup(queue, group) });
}

/** Takes all messages of a group and releases them with the next attempt. */
async function takeAll(queue: ManagedQueue, group: string): Promise<void> {
  const subscription = queue.deliveries({ group }).subscribe();
  for (let look = 0; look < 5; look++) await turn();
  subscription.unsubscribe();
}

/** Lists the groups of all queues whose names begin with the name. */
class PrefixStore extends ManagedStore {
  readonly #names = new Set<string>();

  override async listGroups(name: string): Promise<Omit<GroupInfo, 'declared'>[]> {
    const names = [...this.#names].filter((each) => each.startsWith(name));
    return (await Promise.all(names.map((each) => super.listGroups(each)))).flat();
  }

  override async open(name: string, groups: readonly string[]): Promise<void> {
    this.#names.add(name);
    await super.open(name, groups);
  }
}

/** Deletes a group and leaves its messages. */
class RetainingStore extends ManagedStore {
  override async deleteGroup(name: string, group: string): Promise<boolean> {
    return this.queue(name).groups.delete(group);
  }
}

/** Deletes the messages of a group for all groups. */
class SweepingStore extends ManagedStore {
  override async deleteGroup(name: string, group: string): Promise<boolean> {
    const { groups } = this.queue(name);
    for (const id of groups.get(group)?.keys() ?? []) for (const entries of groups.values()) entries.delete(id);
    return super.deleteGroup(name, group);
  }
}

/** Marks a group as deleted. Its messages stay with it. */
class MarkingStore extends ManagedStore {
  readonly #deleted = new Map<string, [string, never]>();

  override async deleteGroup(name: string, group: string): Promise<boolean> {
    const entries = this.queue(name).groups.get(group);
    if (entries !== undefined) this.#deleted.set(`${name}/${group}`, [group, new Map(entries) as never]);
    return super.deleteGroup(name, group);
  }

  override async open(name: string, groups: readonly string[]): Promise<void> {
    for (const group of groups) {
      const deleted = this.#deleted.get(`${name}/${group}`);
      if (deleted !== undefined) this.queue(name).groups.set(...deleted);
    }
    await super.open(name, groups);
  }
}

/** Creates each group that it is asked to delete. */
class CreatingStore extends ManagedStore {
  override async deleteGroup(name: string, group: string): Promise<boolean> {
    const deleted = await super.deleteGroup(name, group);
    await this.open(name, [group]);
    return deleted;
  }
}

/** Managed queues with defects in `groups()` or `deleteGroup()`. */
export const administering = brokenQueues([
  {
    defect: 'has no administration, though it promises one',
    caughtBy: DEFAULT,
    saying: /Expected a managed queue to have a method `groups`/,
    change: () => ({ groups: undefined as unknown as ManagedQueue['groups'] }),
  },
  {
    defect: 'counts every message as ready in groups()',
    caughtBy: DEFAULT,
    saying: /"ready":3,"unfinished":4\}\], got \[\{"name":"default","declared":true,"ready":4/,
    change: listing(({ unfinished }) => ({ ready: unfinished })),
  },
  {
    defect: 'counts only ready messages in groups()',
    caughtBy: DEFAULT,
    saying: /"unfinished":4\}\], got \[\{"name":"default","declared":true,"ready":3,"unfinished":3/,
    change: listing(({ ready }) => ({ unfinished: ready })),
  },
  {
    defect: 'lists a group only if it has messages',
    caughtBy: DEFAULT,
    saying: /got \[\]/,
    change: (queue) => ({ groups: async () => (await queue.groups()).filter(({ unfinished }) => unfinished > 0) }),
  },
  {
    defect: 'lists each group with the counts of the queue',
    caughtBy: DECLARED,
    saying: /got \[\{"name":"audit","declared":true,"ready":3,"unfinished":4/,
    change: (queue) => ({
      groups: async () => {
        const [groups, stats] = await Promise.all([queue.groups(), queue.stats()]);
        return groups.map((group) => ({ ...group, ...stats }));
      },
    }),
  },
  {
    defect: 'counts the consumers of all groups for each',
    caughtBy: 'admin: groups() counts the consumers of each group, or does not say',
    saying: /to count a consumer of billing and none of audit/,
    change: listing(() => ({ consumers: 1 })),
  },
  {
    defect: 'counts consumers as null',
    caughtBy: DEFAULT,
    saying: /Expected `consumers` of group "default" to be a count or undefined, got null/,
    change: listing(() => ({ consumers: null as unknown as number })),
  },
  {
    defect: 'takes the messages of a group to count them',
    caughtBy: 'admin: groups() takes nothing and changes nothing',
    saying: /Expected `attempt` of \{"n":1\} to be 1, got 6/,
    change: (queue) => ({
      groups: async () => {
        const groups = await queue.groups();
        await Promise.all(queue.declared.map((group) => takeAll(queue, group)));
        return groups;
      },
    }),
  },
  {
    defect: 'lists only the groups that it declares',
    caughtBy: FOREIGN,
    saying: /"audit","declared":false.+, got \[\{"name":"billing"/,
    change: (queue) => ({ groups: async () => (await queue.groups()).filter(({ declared }) => declared) }),
  },
  {
    defect: 'lists every group as declared',
    caughtBy: FOREIGN,
    saying: /"audit","declared":false.+, got \[\{"name":"audit","declared":true/,
    change: listing(() => ({ declared: true })),
  },
  {
    defect: 'does not count the messages of a group that it does not declare',
    caughtBy: FOREIGN,
    saying: /got \[\{"name":"audit","declared":false,"ready":0,"unfinished":0/,
    change: listing(({ declared }) => (declared ? {} : { ready: 0, unfinished: 0 })),
  },
  {
    defect: 'counts what another process has in flight as ready',
    caughtBy: 'admin: groups() counts what another process has in flight in a group that only it declares',
    saying: /"audit","declared":false,"ready":2,"unfinished":4.+, got \[\{"name":"audit","declared":false,"ready":4/,
    change: listing(({ declared, unfinished }) => (declared ? {} : { ready: unfinished })),
  },
  {
    defect: 'finds the groups of a queue by a prefix',
    caughtBy: 'admin: groups() does not list groups of queues with similar names',
    saying: /"name":"other"/,
    store: new PrefixStore(),
  },
  {
    defect: 'deletes a group that it declares',
    caughtBy: REFUSED,
    saying: /Expected deleteGroup\(\) of the declared group "billing" to reject, but it resolved/,
    change: deleting((queue, group) => queue.store.deleteGroup(queue.name, group)),
  },
  {
    defect: 'refuses to delete a declared group with an error of another class',
    caughtBy: REFUSED,
    saying: /Expected a ConfigurationError that names the group "billing", got TypeError: no/,
    change: deleting(() => Promise.reject(new TypeError('no'))),
  },
  {
    defect: 'removes the messages of a declared group, though it refuses to delete it',
    caughtBy: REFUSED,
    saying: /stats\(\) of group "billing" to say \{"ready":1,"unfinished":2\}, got \{"ready":0,"unfinished":1\}/,
    change: deleting(async (queue, group) => {
      await queue.purge({ group });
      return queue.deleteGroup(group);
    }),
  },
  {
    defect: 'deletes `default` where no group is declared',
    caughtBy: 'admin: deleteGroup() refuses `default` where no group is declared',
    saying: /Expected deleteGroup\(\) of `default` to reject, but it resolved/,
    change: deleting((queue, group) => queue.store.deleteGroup(queue.name, group)),
  },
  {
    defect: 'resolves to true for an unknown group',
    caughtBy: UNKNOWN,
    saying: /Expected deleteGroup\("late"\) to resolve to false, got true/,
    change: deleting(async (queue, group) => {
      await queue.deleteGroup(group);
      return true;
    }),
  },
  {
    defect: 'rejects for an unknown group',
    caughtBy: UNKNOWN,
    saying: /There is no group "late"/,
    change: deleting((_, group) => Promise.reject(new ConfigurationError(`There is no group "${group}"`))),
  },
  {
    defect: 'creates a group to delete it',
    caughtBy: UNKNOWN,
    saying: /got \[.*"name":"late"/,
    store: new CreatingStore(),
  },
  {
    defect: 'accepts an invalid group name',
    caughtBy: 'admin: deleteGroup() of an invalid name is refused',
    saying: /Expected deleteGroup\(\) to reject, but it resolved/,
    change: deleting(async () => false),
  },
  {
    defect: 'resolves to false for a deleted group',
    caughtBy: DELETED,
    saying: /Expected deleteGroup\("audit"\) to resolve to true, got false/,
    change: deleting(async (queue, group) => {
      await queue.deleteGroup(group);
      return false;
    }),
  },
  {
    defect: 'empties a group instead of deleting it',
    caughtBy: DELETED,
    saying: /got \[\{"name":"audit","declared":false,"ready":0,"unfinished":0/,
    change: deleting(async (queue, group) => {
      await queue.store.purge(queue.name, group);
      return true;
    }),
  },
  {
    defect: 'leaves the messages of a deleted group in the queue',
    caughtBy: DELETED,
    saying: /stats\(\) to say \{"ready":2,"unfinished":2\}, got \{"ready":2,"unfinished":4\}/,
    store: new RetainingStore(),
  },
  {
    defect: 'deletes the messages of the group from all groups',
    caughtBy: 'admin: deleteGroup() of a group that retains messages of all groups lets the others keep theirs',
    saying: /stats\(\) to say \{"ready":1,"unfinished":3\}, got \{"ready":0,"unfinished":0\}/,
    store: new SweepingStore(),
  },
  {
    defect: 'restores the messages of a deleted group when it is declared again',
    caughtBy: 'admin: a group that is declared again after deleteGroup() has none of its old messages',
    saying: /Expected deliveries of \[4\], got \[1/,
    store: new MarkingStore(),
  },
  {
    defect: 'never settles an administration call after close()',
    caughtBy: 'admin: after close(), each call of the administration settles',
    saying: /Waited \d+ ms for the calls to settle/,
    change: (queue) => ({ purge: () => (queue.status.value === 'closed' ? new Promise(() => {}) : queue.purge()) }),
  },
]);
