import assert from 'node:assert/strict';
import type { ManagedQueue, PurgeOptions } from '../../backend.js';
import { ConfigurationError } from '../../errors.js';
import { admin, type Definition } from '../definition.js';
import { HOUR, rejectionOf, type Scene, upTo } from '../scene.js';
import { acking } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/** Purges and checks the number of removed messages. */
async function removes(scene: Scene, queue: ManagedQueue, count: number, options?: PurgeOptions): Promise<void> {
  const removed = await scene.within('purge() to resolve', queue.purge(options), scene.deadline * 3);
  assert.equal(removed, count, `Expected purge() to resolve to ${count}, got ${removed}`);
}

/** Administration: removing waiting messages. */
export const purging: readonly Definition[] = [
  admin('purge() of an empty queue resolves to 0', {}, async (scene) => {
    const queue = await scene.openManaged();
    await removes(scene, queue, 0);
    await scene.publish(queue, [1, 2]);
    await removes(scene, queue, 2);
    await removes(scene, queue, 0);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes ready and delayed messages, and resolves to their number', {}, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, [1, 2, 3]);
    await scene.publish(queue, [4, 5], { delay: HOUR });
    await scene.counts(queue, { ready: 3, unfinished: 5 });
    await removes(scene, queue, 5);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes no message that is in flight', {}, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, upTo(6));
    const taker = scene.take(queue, { prefetch: 3 });
    await scene.gets(taker, [1, 2, 3]);
    await removes(scene, queue, 3);
    await scene.counts(queue, { ready: 0, unfinished: 3 });
    await scene.settle([taker.of(1)]);
    await scene.settle([taker.of(2)], 'nack');
    await scene.gets(taker, [1, 2, 3, 2]);
    await scene.settle([taker.of(3)], 'release');
    await scene.gets(taker, [1, 2, 3, 2, 3]);
    await scene.settle(taker.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes requeued messages and those nacked with a delay', {}, async (scene) => {
    const queue = await scene.openManaged();
    const { signal, ...intake } = stoppable();
    await scene.publish(queue, upTo(5));
    const taker = scene.take(queue, { prefetch: 4, signal });
    await scene.gets(taker, upTo(4));
    intake.stop();
    await scene.within('nack() to resolve', taker.of(1).nack({ delay: HOUR }));
    await scene.settle([taker.of(2)], 'nack');
    await scene.settle([taker.of(3)], 'release');
    await scene.counts(queue, { ready: 3, unfinished: 5 });
    await removes(scene, queue, 4);
    await scene.counts(queue, { ready: 0, unfinished: 1 });
    await scene.settle([taker.of(4)]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
    await scene.publish(queue, [6]);
    await scene.gets(scene.take(queue, {}, acking), [6]);
  }),

  admin('publishing goes on after purge(): waiting consumers get what follows, in order', {}, async (scene) => {
    const queue = await scene.openManaged();
    const taker = scene.take(queue, {}, acking);
    await scene.publish(queue, [1]);
    await scene.gets(taker, [1]);
    await scene.publish(queue, [2], { delay: HOUR });
    await removes(scene, queue, 1);
    await scene.publish(queue, [3], { delay: 50 });
    await scene.gets(taker, [1, 3]);
    await scene.publish(queue, [4, 5, 6]);
    await scene.gets(taker, [1, 3, 4, 5, 6]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('a delayed message that purge() removed does not arrive when it would become due', {}, async (scene) => {
    const { value: queue, delay } = await scene.inTime(async (delay) => {
      const queue = await scene.openManaged();
      await scene.publish(queue, [1], { delay });
      await removes(scene, queue, 1);
      return queue;
    });
    // It becomes due after the one that was removed.
    await scene.publish(queue, [2], { delay: delay + 50 });
    await scene.gets(scene.take(queue, {}, acking), [2]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() removes thousands of messages', {}, async (scene) => {
    const queue = await scene.openManaged();
    const count = scene.scaled(3000);
    await scene.publish(queue, upTo(count));
    await scene.publish(queue, upTo(100), { delay: HOUR });
    await removes(scene, queue, count + 100);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
    await scene.publish(queue, [1]);
    await scene.gets(scene.take(queue, {}, acking), [1]);
  }),

  admin('purge() of one group leaves the other groups their messages', { groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged({ groups: GROUPS });
    await scene.publish(queue, [1, 2]);
    await scene.publish(queue, [3], BILLING);
    await scene.publish(queue, [4], AUDIT);
    await scene.publish(queue, [5], { delay: 200 });
    await scene.publish(queue, [6], { ...BILLING, delay: HOUR });
    await removes(scene, queue, 5, BILLING);
    await scene.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
    await scene.counts(queue, { unfinished: 4 }, 'audit');
    await scene.counts(queue, { unfinished: 4 });
    await scene.gets(scene.take(queue, AUDIT, acking), [1, 2, 4, 5]);
    const billing = scene.take(queue, BILLING, acking);
    await scene.publish(queue, [7]);
    await scene.gets(billing, [7]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('purge() of all groups counts each message once', { groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged({ groups: GROUPS });
    await scene.publish(queue, [1, 2, 3]);
    await scene.publish(queue, [4], BILLING);
    await scene.publish(queue, [5], { delay: HOUR });
    await scene.publish(queue, [6], { ...AUDIT, delay: HOUR });
    await removes(scene, queue, 6);
    for (const group of GROUPS) await scene.counts(queue, { ready: 0, unfinished: 0 }, group);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin(
    'purge() of all groups keeps what one group has in flight, for that group',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.openManaged({ groups: GROUPS });
      await scene.publish(queue, [1, 2]);
      const billing = scene.take(queue, { ...BILLING, prefetch: 1 });
      await scene.gets(billing, [1]);
      await scene.within('purge() to resolve', queue.purge());
      await scene.counts(queue, { ready: 0, unfinished: 0 }, 'audit');
      await scene.counts(queue, { ready: 0, unfinished: 1 }, 'billing');
      await scene.settle(billing.held, 'nack');
      await scene.gets(billing, [1, 1]);
      await scene.settle(billing.held);
      await scene.publish(queue, [3]);
      await scene.gets(scene.take(queue, AUDIT, acking), [3]);
      await scene.gets(billing, [1, 1, 3]);
      await scene.settle(billing.held);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin(
    'purge() removes what other backends published, not what they have in flight',
    { shared: true },
    async (scene) => {
      const name = scene.newName();
      const [first, second] = [await scene.openManaged({ name }), await scene.openManaged({ name })];
      await scene.publish(first, upTo(5));
      await scene.publish(first, [6], { delay: HOUR });
      const holder = scene.take(first, { prefetch: 2 });
      await scene.gets(holder, [1, 2]);
      await removes(scene, second, 4);
      await scene.counts(first, { ready: 0, unfinished: 2 });
      await scene.settle(holder.held);
      await scene.publish(second, [7]);
      await scene.gets(holder, [1, 2, 7]);
      await scene.settle(holder.held);
      await scene.counts(second, { ready: 0, unfinished: 0 });
    },
  ),

  admin('purge() concerns its own queue only', {}, async (scene) => {
    const [queue, other] = [await scene.openManaged(), await scene.open()];
    for (const each of [queue, other]) await scene.publish(each, [1, 2]);
    await removes(scene, queue, 2);
    await scene.gets(scene.take(other, {}, acking), [1, 2]);
  }),

  admin(
    'purge() of a group that was not declared is refused with a ConfigurationError, and removes nothing',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.openManaged({ groups: GROUPS });
      await scene.publish(queue, [1]);
      for (const group of ['late', 'default']) {
        const refused = rejectionOf('purge() of an undeclared group', queue.purge({ group }));
        const error = await scene.within('purge() to reject', refused);
        assert.ok(ConfigurationError.is(error), `Expected a ConfigurationError, got ${String(error)}`);
      }
      await scene.counts(queue, { ready: 1, unfinished: 1 }, 'billing');
      await scene.counts(queue, { ready: 1, unfinished: 1 }, 'audit');
    },
  ),
];

function stoppable(): { readonly signal: AbortSignal; readonly stop: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, stop: () => controller.abort() };
}
