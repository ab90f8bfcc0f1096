import assert from 'node:assert/strict';
import type { GroupInfo, ManagedQueue } from '../../backend.js';
import { ConfigurationError } from '../../errors.js';
import { type CaseContext, HOUR, rejectionOf, turns, upTo } from '../case-context.js';
import { admin, type Definition } from '../definition.js';
import { acking } from '../test-consumer.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

type Expected = Readonly<Record<string, Omit<GroupInfo, 'name' | 'consumers'>>>;

/** Waits until `groups()` lists these groups, in any order, and no other. */
async function lists(t: CaseContext, queue: ManagedQueue, expected: Expected): Promise<readonly GroupInfo[]> {
  let last: readonly GroupInfo[] = [];
  const wanted = JSON.stringify(sorted(Object.entries(expected).map(([name, info]) => ({ name, ...info }))));
  await t.until(
    () => `groups() to say ${wanted}, got ${JSON.stringify(sorted(last))}`,
    async () => {
      last = await t.within('groups() to resolve', queue.groups());
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
async function deletes(t: CaseContext, queue: ManagedQueue, group: string, expected: boolean): Promise<void> {
  const deleted = await t.within('deleteGroup() to resolve', queue.deleteGroup(group));
  assert.equal(deleted, expected, `Expected deleteGroup("${group}") to resolve to ${expected}, got ${deleted}`);
}

/**
 * Makes one queue with a backend that declares both groups, and a backend that declares `billing`
 * only.
 */
async function openForeign(t: CaseContext): Promise<{ readonly foreign: ManagedQueue; readonly queue: ManagedQueue }> {
  const name = t.newName();
  const foreign = await t.openManaged({ name, groups: GROUPS });
  return { foreign, queue: await t.openManaged({ name, groups: ['billing'] }) };
}

/** Administration: the groups of a queue. */
export const adminGroups: readonly Definition[] = [
  admin('groups() of a queue without declared groups lists `default`, with its counts', {}, async (t) => {
    const queue = await t.openManaged();
    await lists(t, queue, { default: { declared: true, ready: 0, unfinished: 0 } });
    await t.publish(queue, [1, 2, 3]);
    await t.publish(queue, [4], { delay: HOUR });
    await lists(t, queue, { default: { declared: true, ready: 3, unfinished: 4 } });
    const consumer = t.addConsumer(queue, { prefetch: 2 });
    await t.receivesExactly(consumer, [1, 2]);
    await lists(t, queue, { default: { declared: true, ready: 1, unfinished: 4 } });
    await t.settle([consumer.of(1)]);
    await t.receivesExactly(consumer, [1, 2, 3]);
    await lists(t, queue, { default: { declared: true, ready: 0, unfinished: 3 } });
  }),

  admin('groups() lists each declared group with its own counts', { groups: 'separate' }, async (t) => {
    const queue = await t.openManaged({ groups: GROUPS });
    await lists(t, queue, {
      audit: { declared: true, ready: 0, unfinished: 0 },
      billing: { declared: true, ready: 0, unfinished: 0 },
    });
    await t.publish(queue, [1, 2]);
    await t.publish(queue, [3], BILLING);
    await t.publish(queue, [4], { ...AUDIT, delay: HOUR });
    await t.receivesExactly(t.addConsumer(queue, { ...BILLING, prefetch: 1 }), [1]);
    await lists(t, queue, {
      audit: { declared: true, ready: 2, unfinished: 3 },
      billing: { declared: true, ready: 2, unfinished: 3 },
    });
  }),

  admin('groups() counts the consumers of each group, or does not say', { groups: 'separate' }, async (t) => {
    const queue = await t.openManaged({ groups: GROUPS });
    const consumer = t.addConsumer(queue, BILLING, acking);
    await t.publish(queue, [1]);
    await t.receivesExactly(consumer, [1]);
    let groups: readonly GroupInfo[] = [];
    const consumersOf = (group: string) => groups.find(({ name }) => name === group)?.consumers;
    await t.until(
      () => `groups() to count a consumer of billing and none of audit, got ${JSON.stringify(groups)}`,
      async () => {
        groups = await t.within('groups() to resolve', queue.groups());
        const [billing, audit] = [consumersOf('billing'), consumersOf('audit')];
        return (billing === undefined || billing >= 1) && (audit === undefined || audit === 0);
      },
    );
  }),

  admin('groups() takes nothing and changes nothing', { groups: 'separate' }, async (t) => {
    const queue = await t.openManaged({ groups: GROUPS });
    await t.publish(queue, [1, 2]);
    for (let call = 0; call < 5; call++) await t.within('groups() to resolve', queue.groups());
    for (const group of GROUPS) {
      await t.counts(queue, { ready: 2, unfinished: 2 }, group);
      const consumer = t.addConsumer(queue, { group });
      await t.receivesExactly(consumer, [1, 2]);
      for (const delivery of consumer.deliveries) t.isAttempt(delivery, 1);
      await t.settle(consumer.inFlight);
    }
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin(
    'groups() lists a group that only another process declares, with `declared: false`',
    { groups: 'separate', shared: true, foreignGroups: true },
    async (t) => {
      const { foreign, queue } = await openForeign(t);
      await t.publish(foreign, [1, 2]);
      await t.publish(foreign, [3], AUDIT);
      await lists(t, queue, {
        audit: { declared: false, ready: 3, unfinished: 3 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
      await t.within('close() to resolve', foreign.close());
      await lists(t, queue, {
        audit: { declared: false, ready: 3, unfinished: 3 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
    },
  ),

  admin(
    'groups() counts what another process has in flight in a group that only it declares',
    { groups: 'separate', shared: true, foreignGroups: 'counted' },
    async (t) => {
      const { foreign, queue } = await openForeign(t);
      await t.publish(foreign, [1, 2]);
      await t.publish(foreign, [3], AUDIT);
      await t.publish(foreign, [4], { ...AUDIT, delay: HOUR });
      await t.receivesExactly(t.addConsumer(foreign, { ...AUDIT, prefetch: 1 }), [1]);
      await lists(t, queue, {
        audit: { declared: false, ready: 2, unfinished: 4 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
      await lists(t, foreign, {
        audit: { declared: true, ready: 2, unfinished: 4 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
      await t.within('close() to resolve', foreign.close());
      await lists(t, queue, {
        audit: { declared: false, ready: 3, unfinished: 4 },
        billing: { declared: true, ready: 2, unfinished: 2 },
      });
    },
  ),

  admin(
    'groups() does not list groups of queues with similar names',
    { groups: 'separate', shared: true },
    async (t) => {
      const name = t.newName();
      for (const suffix of ['x', '.x', ':x', ':group', '-1', '*']) {
        await t.publish(await t.open({ name: `${name}${suffix}`, groups: ['other'] }), [1]);
      }
      const queue = await t.openManaged({ name, groups: GROUPS });
      await t.publish(queue, [1]);
      await lists(t, queue, {
        audit: { declared: true, ready: 1, unfinished: 1 },
        billing: { declared: true, ready: 1, unfinished: 1 },
      });
    },
  ),

  admin(
    'deleteGroup() of a declared group is refused with a ConfigurationError, and removes nothing',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.openManaged({ groups: GROUPS });
      await t.publish(queue, [1, 2]);
      const consumer = t.addConsumer(queue, { ...BILLING, prefetch: 1 });
      await t.receivesExactly(consumer, [1]);
      for (const group of GROUPS) {
        const error = await t.within(
          'deleteGroup() to reject',
          rejectionOf(`deleteGroup() of the declared group "${group}"`, queue.deleteGroup(group)),
        );
        assert.ok(
          ConfigurationError.is(error) && error.message.includes(group),
          `Expected a ConfigurationError that names the group "${group}", got ${String(error)}`,
        );
      }
      await t.counts(queue, { ready: 1, unfinished: 2 }, 'billing');
      await t.counts(queue, { ready: 2, unfinished: 2 }, 'audit');
      await t.settle(consumer.inFlight);
      await t.receivesExactly(consumer, [1, 2]);
      await t.settle(consumer.inFlight);
      await t.publish(queue, [3]);
      await t.receivesExactly(consumer, [1, 2, 3]);
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1, 2, 3]);
    },
  ),

  admin('deleteGroup() refuses `default` where no group is declared', { groups: 'separate' }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1]);
    const refused = rejectionOf('deleteGroup() of `default`', queue.deleteGroup('default'));
    const error = await t.within('deleteGroup() to reject', refused);
    assert.ok(ConfigurationError.is(error), `Expected a ConfigurationError, got ${String(error)}`);
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [1]);
  }),

  admin('deleteGroup() of an unknown group resolves to false, and creates nothing', {}, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1]);
    for (const group of ['late', 'Default', 'default.', '*']) await deletes(t, queue, group, false);
    await lists(t, queue, { default: { declared: true, ready: 1, unfinished: 1 } });
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [1]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('deleteGroup() of an invalid name is refused', {}, async (t) => {
    const queue = await t.openManaged();
    for (const group of ['', 'g'.repeat(256), 5 as unknown as string, undefined as unknown as string]) {
      const refused = rejectionOf(`deleteGroup(${String(group)})`, queue.deleteGroup(group));
      const { name } = (await t.within('deleteGroup() to reject', refused)) as Error;
      assert.ok(name === 'TypeError' || name === 'RangeError', `Expected a TypeError or RangeError, got a ${name}`);
    }
  }),

  admin(
    'deleteGroup() of a group of another process resolves to true, and its messages no longer count',
    { groups: 'separate', shared: true },
    async (t) => {
      const { foreign, queue } = await openForeign(t);
      await t.publish(foreign, [1, 2]);
      await t.publish(foreign, [3], AUDIT);
      await t.publish(foreign, [4], { ...AUDIT, delay: HOUR });
      await t.receivesExactly(t.addConsumer(foreign, { ...AUDIT, prefetch: 1 }), [1]);
      await t.within('close() to resolve', foreign.close());
      await deletes(t, queue, 'audit', true);
      await lists(t, queue, { billing: { declared: true, ready: 2, unfinished: 2 } });
      await t.counts(queue, { ready: 2, unfinished: 2 });
      await deletes(t, queue, 'audit', false);
      const consumer = t.addConsumer(queue, BILLING, acking);
      await t.publish(queue, [5]);
      await t.receivesExactly(consumer, [1, 2, 5]);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin(
    'deleteGroup() of a group that retains messages of all groups lets the others keep theirs',
    { groups: 'separate', shared: true },
    async (t) => {
      const { foreign, queue } = await openForeign(t);
      await t.publish(foreign, upTo(4));
      const holder = t.addConsumer(queue, { ...BILLING, prefetch: 2 });
      await t.receivesExactly(holder, [1, 2]);
      await t.settle([holder.of(1)]);
      await t.receivesExactly(holder, [1, 2, 3]);
      await t.within('close() to resolve', foreign.close());
      await deletes(t, queue, 'audit', true);
      await t.counts(queue, { ready: 1, unfinished: 3 });
      await t.settle([holder.of(2)], 'nack');
      await t.receivesExactly(holder, [1, 2, 3, 2]);
      await t.settle(holder.inFlight);
      await t.receivesExactly(holder, [1, 2, 3, 2, 4]);
      await t.settle(holder.inFlight);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin(
    'a group that is declared again after deleteGroup() has none of its old messages',
    { groups: 'separate', shared: true },
    async (t) => {
      const { foreign, queue } = await openForeign(t);
      await t.publish(foreign, [1, 2]);
      await t.publish(foreign, [3], AUDIT);
      await t.within('close() to resolve', foreign.close());
      const consumer = t.addConsumer(queue, BILLING, acking);
      await t.receivesExactly(consumer, [1, 2]);
      await deletes(t, queue, 'audit', true);
      await t.counts(queue, { ready: 0, unfinished: 0 });
      const again = await t.openManaged({ name: queue.name, groups: GROUPS });
      await t.publish(again, [4]);
      const audit = t.addConsumer(again, AUDIT);
      await t.receivesExactly(audit, [4]);
      t.isAttempt(audit.of(4), 1);
      await t.settle(audit.inFlight);
      await t.receivesExactly(consumer, [1, 2, 4]);
      await t.counts(again, { ready: 0, unfinished: 0 });
    },
  ),

  admin('after close(), each call of the administration settles', {}, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1]);
    await t.within('close() to resolve', queue.close());
    await turns();
    const calls = [queue.groups(), queue.deleteGroup('late'), queue.peek(), queue.purge()];
    await t.within('the calls to settle', Promise.allSettled(calls));
  }),
];
