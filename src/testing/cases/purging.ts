import assert from 'node:assert/strict';
import type { ManagedQueue, PurgeOptions } from '../../backend.js';
import { ConfigurationError } from '../../errors.js';
import { type CaseContext, HOUR, rejectionOf, upTo } from '../case-context.js';
import { admin, type Definition } from '../definition.js';
import { acking } from '../test-consumer.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/** Purges and checks the number of removed messages. */
async function removes(t: CaseContext, queue: ManagedQueue, count: number, options?: PurgeOptions): Promise<void> {
  const removed = await t.within('purge() to resolve', queue.purge(options), t.deadline * 3);
  assert.equal(removed, count, `Expected purge() to resolve to ${count}, got ${removed}`);
}

/** Administration: removing waiting messages. */
export const purging: readonly Definition[] = [
  admin('purge() of an empty queue resolves to 0', {}, async (t) => {
    const queue = await t.openManaged();
    await removes(t, queue, 0);
    await t.publish(queue, [1, 2]);
    await removes(t, queue, 2);
    await removes(t, queue, 0);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes ready and delayed messages, and resolves to their number', {}, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1, 2, 3]);
    await t.publish(queue, [4, 5], { delay: HOUR });
    await t.counts(queue, { ready: 3, unfinished: 5 });
    await removes(t, queue, 5);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes no message that is in flight', {}, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, upTo(6));
    const consumer = t.addConsumer(queue, { prefetch: 3 });
    await t.receivesExactly(consumer, [1, 2, 3]);
    await removes(t, queue, 3);
    await t.counts(queue, { ready: 0, unfinished: 3 });
    await t.settle([consumer.of(1)]);
    await t.settle([consumer.of(2)], 'nack');
    await t.receivesExactly(consumer, [1, 2, 3, 2]);
    await t.settle([consumer.of(3)], 'release');
    await t.receivesExactly(consumer, [1, 2, 3, 2, 3]);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes requeued messages and those nacked with a delay', {}, async (t) => {
    const queue = await t.openManaged();
    const { signal, ...intake } = stoppable();
    await t.publish(queue, upTo(5));
    const consumer = t.addConsumer(queue, { prefetch: 4, signal });
    await t.receivesExactly(consumer, upTo(4));
    intake.stop();
    await t.within('nack() to resolve', consumer.of(1).nack({ delay: HOUR }));
    await t.settle([consumer.of(2)], 'nack');
    await t.settle([consumer.of(3)], 'release');
    await t.counts(queue, { ready: 3, unfinished: 5 });
    await removes(t, queue, 4);
    await t.counts(queue, { ready: 0, unfinished: 1 });
    await t.settle([consumer.of(4)]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
    await t.publish(queue, [6]);
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [6]);
  }),

  admin('publishing goes on after purge(): waiting consumers get what follows, in order', {}, async (t) => {
    const queue = await t.openManaged();
    const consumer = t.addConsumer(queue, {}, acking);
    await t.publish(queue, [1]);
    await t.receivesExactly(consumer, [1]);
    await t.publish(queue, [2], { delay: HOUR });
    await removes(t, queue, 1);
    await t.publish(queue, [3], { delay: 50 });
    await t.receivesExactly(consumer, [1, 3]);
    await t.publish(queue, [4, 5, 6]);
    await t.receivesExactly(consumer, [1, 3, 4, 5, 6]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('a delayed message that purge() removed does not arrive when it would become due', {}, async (t) => {
    const { value: queue, delay } = await t.inTime(async (delay) => {
      const queue = await t.openManaged();
      await t.publish(queue, [1], { delay });
      await removes(t, queue, 1);
      return queue;
    });
    // It becomes due after the one that was removed.
    await t.publish(queue, [2], { delay: delay + 50 });
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [2]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes messages whose delay ends meanwhile', {}, async (t) => {
    const queue = await t.openManaged();
    for (const n of upTo(40)) await t.publish(queue, [n], { delay: n });
    await removes(t, queue, 40);
    await t.counts(queue, { ready: 0, unfinished: 0 });
    await t.publish(queue, [41], { delay: 50 });
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [41]);
  }),

  admin('purge() removes thousands of messages', {}, async (t) => {
    const queue = await t.openManaged();
    const count = t.scaled(3000);
    await t.publish(queue, upTo(count));
    await t.publish(queue, upTo(100), { delay: HOUR });
    await removes(t, queue, count + 100);
    await t.counts(queue, { ready: 0, unfinished: 0 });
    await t.publish(queue, [1]);
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [1]);
  }),

  admin('purge() of one group leaves the other groups their messages', { groups: 'separate' }, async (t) => {
    const queue = await t.openManaged({ groups: GROUPS });
    await t.publish(queue, [1, 2]);
    await t.publish(queue, [3], BILLING);
    await t.publish(queue, [4], AUDIT);
    await t.publish(queue, [5], { ...BILLING, delay: HOUR });
    await removes(t, queue, 4, BILLING);
    await t.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
    await t.counts(queue, { unfinished: 3 }, 'audit');
    await t.counts(queue, { unfinished: 3 });
    await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1, 2, 4]);
    const billing = t.addConsumer(queue, BILLING, acking);
    await t.publish(queue, [6]);
    await t.receivesExactly(billing, [6]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin(
    'purge() of one group removes a delayed message for that group only',
    { groups: 'separate', purgeDelayed: true },
    async (t) => {
      const queue = await t.openManaged({ groups: GROUPS });
      // Long enough that it is still delayed when the purge begins.
      await t.publish(queue, [1], { delay: 2000 });
      await removes(t, queue, 1, BILLING);
      await t.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
      await t.counts(queue, { ready: 0, unfinished: 1 }, 'audit');
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1]);
      const billing = t.addConsumer(queue, BILLING, acking);
      await t.publish(queue, [2]);
      await t.receivesExactly(billing, [2]);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin('purge() of all groups counts each message once', { groups: 'separate' }, async (t) => {
    const queue = await t.openManaged({ groups: GROUPS });
    await t.publish(queue, [1, 2, 3]);
    await t.publish(queue, [4], BILLING);
    await t.publish(queue, [5], { delay: HOUR });
    await t.publish(queue, [6], { ...AUDIT, delay: HOUR });
    await removes(t, queue, 6);
    for (const group of GROUPS) await t.counts(queue, { ready: 0, unfinished: 0 }, group);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin(
    'purge() of all groups keeps what one group has in flight, for that group',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.openManaged({ groups: GROUPS });
      await t.publish(queue, [1, 2]);
      const billing = t.addConsumer(queue, { ...BILLING, prefetch: 1 });
      await t.receivesExactly(billing, [1]);
      await t.within('purge() to resolve', queue.purge());
      await t.counts(queue, { ready: 0, unfinished: 0 }, 'audit');
      await t.counts(queue, { ready: 0, unfinished: 1 }, 'billing');
      await t.settle(billing.inFlight, 'nack');
      await t.receivesExactly(billing, [1, 1]);
      await t.settle(billing.inFlight);
      await t.publish(queue, [3]);
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [3]);
      await t.receivesExactly(billing, [1, 1, 3]);
      await t.settle(billing.inFlight);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin('purge() removes what other backends published, not what they have in flight', { shared: true }, async (t) => {
    const name = t.newName();
    const [first, second] = [await t.openManaged({ name }), await t.openManaged({ name })];
    await t.publish(first, upTo(5));
    await t.publish(first, [6], { delay: HOUR });
    const holder = t.addConsumer(first, { prefetch: 2 });
    await t.receivesExactly(holder, [1, 2]);
    await removes(t, second, 4);
    await t.counts(first, { ready: 0, unfinished: 2 });
    await t.settle(holder.inFlight);
    await t.publish(second, [7]);
    await t.receivesExactly(holder, [1, 2, 7]);
    await t.settle(holder.inFlight);
    await t.counts(second, { ready: 0, unfinished: 0 });
  }),

  admin('purge() concerns its own queue only', {}, async (t) => {
    const [queue, other] = [await t.openManaged(), await t.open()];
    for (const each of [queue, other]) await t.publish(each, [1, 2]);
    await removes(t, queue, 2);
    await t.receivesExactly(t.addConsumer(other, {}, acking), [1, 2]);
  }),

  admin(
    'purge() of a group that was not declared is refused with a ConfigurationError, and removes nothing',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.openManaged({ groups: GROUPS });
      await t.publish(queue, [1]);
      for (const group of ['late', 'default']) {
        const refused = rejectionOf('purge() of an undeclared group', queue.purge({ group }));
        const error = await t.within('purge() to reject', refused);
        assert.ok(ConfigurationError.is(error), `Expected a ConfigurationError, got ${String(error)}`);
      }
      await t.counts(queue, { ready: 1, unfinished: 1 }, 'billing');
      await t.counts(queue, { ready: 1, unfinished: 1 }, 'audit');
    },
  ),
];

function stoppable(): { readonly signal: AbortSignal; readonly stop: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, stop: () => controller.abort() };
}
