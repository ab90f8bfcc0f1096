import assert from 'node:assert/strict';
import type { GroupInfo, ManagedQueue } from '../../backend.js';
import { ConfigurationError } from '../../errors.js';
import { admin, type Definition } from '../definition.js';
import { HOUR, rejectionOf, type Scene, turns, upTo } from '../scene.js';
import { acking } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

type Expected = Readonly<Record<string, Omit<GroupInfo, 'name' | 'consumers'>>>;

/** Waits until `groups()` lists these groups, in any order, and no other. */
async function lists(scene: Scene, queue: ManagedQueue, expected: Expected): Promise<readonly GroupInfo[]> {
  let last: readonly GroupInfo[] = [];
  const wanted = JSON.stringify(sorted(Object.entries(expected).map(([name, info]) => ({ name, ...info }))));
  await scene.until(
    () => `groups() to say ${wanted}, got ${JSON.stringify(sorted(last))}`,
    async () => {
      last = await scene.within('groups() to resolve', queue.groups());
      return JSON.stringify(sorted(last)) === wanted;
    },
  );
  for (const { name, consumers } of last) {
    assert.ok(
      consumers === undefined || (Number.isSafeInteger(consumers) && consumers >= 0),
      `Expected \`consumers\` of group "${name}" to be a count or undefined, got ${consumers}`,
    );
  }
  return last;
}

function sorted(groups: readonly GroupInfo[]): Omit<GroupInfo, 'consumers'>[] {
  return groups
    .map(({ name, declared, ready, unfinished }) => ({ name, declared, ready, unfinished }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Deletes a group and checks what `deleteGroup` resolves to. */
async function deletes(scene: Scene, queue: ManagedQueue, group: string, expected: boolean): Promise<void> {
  const deleted = await scene.within('deleteGroup() to resolve', queue.deleteGroup(group));
  assert.equal(deleted, expected, `Expected deleteGroup("${group}") to resolve to ${expected}, got ${deleted}`);
}

/** Makes one queue with a backend that declares both groups, and a backend that declares `billing` only. */
async function openForeign(scene: Scene): Promise<{ readonly foreign: ManagedQueue; readonly queue: ManagedQueue }> {
  const name = scene.newName();
  const foreign = await scene.openManaged({ name, groups: GROUPS });
  return { foreign, queue: await scene.openManaged({ name, groups: ['billing'] }) };
}

/** Administration: the groups of a queue. */
export const adminGroups: readonly Definition[] = [
  admin('groups() of a queue without declared groups lists `default`, with its counts', {}, async (scene) => {
    const queue = await scene.openManaged();
    await lists(scene, queue, { default: { declared: true, ready: 0, unfinished: 0 } });
    await scene.publish(queue, [1, 2, 3]);
    await scene.publish(queue, [4], { delay: HOUR });
    await lists(scene, queue, { default: { declared: true, ready: 3, unfinished: 4 } });
    const taker = scene.take(queue, { prefetch: 2 });
    await scene.gets(taker, [1, 2]);
    await lists(scene, queue, { default: { declared: true, ready: 1, unfinished: 4 } });
    await scene.settle([taker.of(1)]);
    await scene.gets(taker, [1, 2, 3]);
    await lists(scene, queue, { default: { declared: true, ready: 0, unfinished: 3 } });
  }),

  admin('groups() lists each declared group with its own counts', { groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged({ groups: GROUPS });
    await lists(scene, queue, {
      audit: { declared: true, ready: 0, unfinished: 0 },
      billing: { declared: true, ready: 0, unfinished: 0 },
    });
    await scene.publish(queue, [1, 2]);
    await scene.publish(queue, [3], BILLING);
    await scene.publish(queue, [4], { ...AUDIT, delay: HOUR });
    await scene.gets(scene.take(queue, { ...BILLING, prefetch: 1 }), [1]);
    await lists(scene, queue, {
      audit: { declared: true, ready: 2, unfinished: 3 },
      billing: { declared: true, ready: 2, unfinished: 3 },
    });
  }),

  admin('groups() counts the consumers of each group, or does not say', { groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged({ groups: GROUPS });
    const taker = scene.take(queue, BILLING, acking);
    await scene.publish(queue, [1]);
    await scene.gets(taker, [1]);
    let groups: readonly GroupInfo[] = [];
    const consumersOf = (group: string) => groups.find(({ name }) => name === group)?.consumers;
    await scene.until(
      () => `groups() to count a consumer of billing and none of audit, got ${JSON.stringify(groups)}`,
      async () => {
        groups = await scene.within('groups() to resolve', queue.groups());
        const [billing, audit] = [consumersOf('billing'), consumersOf('audit')];
        return (billing === undefined || billing >= 1) && (audit === undefined || audit === 0);
      },
    );
  }),

  admin('groups() takes nothing and changes nothing', { groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged({ groups: GROUPS });
    await scene.publish(queue, [1, 2]);
    for (let call = 0; call < 5; call++) await scene.within('groups() to resolve', queue.groups());
    for (const group of GROUPS) {
      await scene.counts(queue, { ready: 2, unfinished: 2 }, group);
      const taker = scene.take(queue, { group });
      await scene.gets(taker, [1, 2]);
      for (const delivery of taker.deliveries) scene.isAttempt(delivery, 1);
      await scene.settle(taker.held);
    }
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin(
    'groups() lists a group that only another process declares, with `declared: false`',
    { groups: 'separate', shared: true },
    async (scene) => {
      const { foreign, queue } = await openForeign(scene);
      await scene.publish(foreign, [1, 2]);
      await scene.publish(foreign, [3], AUDIT);
      await scene.publish(foreign, [4], { ...AUDIT, delay: HOUR });
      await scene.gets(scene.take(foreign, { ...AUDIT, prefetch: 1 }), [1]);
      await lists(scene, queue, {
        audit: { declared: false, ready: 2, unfinished: 4 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
      await lists(scene, foreign, {
        audit: { declared: true, ready: 2, unfinished: 4 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
      await scene.within('close() to resolve', foreign.close());
      await lists(scene, queue, {
        audit: { declared: false, ready: 3, unfinished: 4 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
    },
  ),

  admin(
    'groups() does not list groups of queues with similar names',
    { groups: 'separate', shared: true },
    async (scene) => {
      const name = scene.newName();
      for (const suffix of ['x', '.x', ':x', ':group', '-1', '*']) {
        await scene.publish(await scene.open({ name: `${name}${suffix}`, groups: ['other'] }), [1]);
      }
      const queue = await scene.openManaged({ name, groups: GROUPS });
      await scene.publish(queue, [1]);
      await lists(scene, queue, {
        audit: { declared: true, ready: 1, unfinished: 1 },
        billing: { declared: true, ready: 1, unfinished: 1 },
      });
    },
  ),

  admin(
    'deleteGroup() of a declared group is refused with a ConfigurationError, and removes nothing',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.openManaged({ groups: GROUPS });
      await scene.publish(queue, [1, 2]);
      const taker = scene.take(queue, { ...BILLING, prefetch: 1 });
      await scene.gets(taker, [1]);
      for (const group of GROUPS) {
        const error = await scene.within(
          'deleteGroup() to reject',
          rejectionOf(`deleteGroup() of the declared group "${group}"`, queue.deleteGroup(group)),
        );
        assert.ok(
          ConfigurationError.is(error) && error.message.includes(group),
          `Expected a ConfigurationError that names the group "${group}", got ${String(error)}`,
        );
      }
      await scene.counts(queue, { ready: 1, unfinished: 2 }, 'billing');
      await scene.counts(queue, { ready: 2, unfinished: 2 }, 'audit');
      await scene.settle(taker.held);
      await scene.gets(taker, [1, 2]);
      await scene.settle(taker.held);
      await scene.publish(queue, [3]);
      await scene.gets(taker, [1, 2, 3]);
      await scene.gets(scene.take(queue, AUDIT, acking), [1, 2, 3]);
    },
  ),

  admin('deleteGroup() refuses `default` where no group is declared', { groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, [1]);
    const refused = rejectionOf('deleteGroup() of `default`', queue.deleteGroup('default'));
    const error = await scene.within('deleteGroup() to reject', refused);
    assert.ok(ConfigurationError.is(error), `Expected a ConfigurationError, got ${String(error)}`);
    await scene.gets(scene.take(queue, {}, acking), [1]);
  }),

  admin('deleteGroup() of an unknown group resolves to false, and creates nothing', {}, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, [1]);
    for (const group of ['late', 'Default', 'default.', '*']) await deletes(scene, queue, group, false);
    await lists(scene, queue, { default: { declared: true, ready: 1, unfinished: 1 } });
    await scene.gets(scene.take(queue, {}, acking), [1]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('deleteGroup() of an invalid name is refused', {}, async (scene) => {
    const queue = await scene.openManaged();
    for (const group of ['', 'g'.repeat(256), 5 as unknown as string, undefined as unknown as string]) {
      const refused = rejectionOf(`deleteGroup(${String(group)})`, queue.deleteGroup(group));
      const { name } = (await scene.within('deleteGroup() to reject', refused)) as Error;
      assert.ok(name === 'TypeError' || name === 'RangeError', `Expected a TypeError or RangeError, got a ${name}`);
    }
  }),

  admin(
    'deleteGroup() of a group of another process resolves to true, and its messages no longer count',
    { groups: 'separate', shared: true },
    async (scene) => {
      const { foreign, queue } = await openForeign(scene);
      await scene.publish(foreign, [1, 2]);
      await scene.publish(foreign, [3], AUDIT);
      await scene.publish(foreign, [4], { ...AUDIT, delay: HOUR });
      await scene.gets(scene.take(foreign, { ...AUDIT, prefetch: 1 }), [1]);
      await scene.within('close() to resolve', foreign.close());
      await deletes(scene, queue, 'audit', true);
      await lists(scene, queue, { billing: { declared: true, ready: 2, unfinished: 2 } });
      await scene.counts(queue, { ready: 2, unfinished: 2 });
      await deletes(scene, queue, 'audit', false);
      const taker = scene.take(queue, BILLING, acking);
      await scene.publish(queue, [5]);
      await scene.gets(taker, [1, 2, 5]);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin(
    'deleteGroup() of a group that retains messages of all groups lets the others keep theirs',
    { groups: 'separate', shared: true },
    async (scene) => {
      const { foreign, queue } = await openForeign(scene);
      await scene.publish(foreign, upTo(4));
      const holder = scene.take(queue, { ...BILLING, prefetch: 2 });
      await scene.gets(holder, [1, 2]);
      await scene.settle([holder.of(1)]);
      await scene.gets(holder, [1, 2, 3]);
      await scene.within('close() to resolve', foreign.close());
      await deletes(scene, queue, 'audit', true);
      await scene.counts(queue, { ready: 1, unfinished: 3 });
      await scene.settle([holder.of(2)], 'nack');
      await scene.gets(holder, [1, 2, 3, 2]);
      await scene.settle(holder.held);
      await scene.gets(holder, [1, 2, 3, 2, 4]);
      await scene.settle(holder.held);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin(
    'a group that is declared again after deleteGroup() has none of its old messages',
    { groups: 'separate', shared: true },
    async (scene) => {
      const { foreign, queue } = await openForeign(scene);
      await scene.publish(foreign, [1, 2]);
      await scene.publish(foreign, [3], AUDIT);
      await scene.within('close() to resolve', foreign.close());
      const taker = scene.take(queue, BILLING, acking);
      await scene.gets(taker, [1, 2]);
      await deletes(scene, queue, 'audit', true);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
      const again = await scene.openManaged({ name: queue.name, groups: GROUPS });
      await scene.publish(again, [4]);
      const audit = scene.take(again, AUDIT);
      await scene.gets(audit, [4]);
      scene.isAttempt(audit.of(4), 1);
      await scene.settle(audit.held);
      await scene.gets(taker, [1, 2, 4]);
      await scene.counts(again, { ready: 0, unfinished: 0 });
    },
  ),

  admin('after close(), each call of the administration settles', {}, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, [1]);
    await scene.within('close() to resolve', queue.close());
    await turns();
    const calls = [queue.groups(), queue.deleteGroup('late'), queue.peek(), queue.purge()];
    await scene.within('the calls to settle', Promise.allSettled(calls));
  }),
];
