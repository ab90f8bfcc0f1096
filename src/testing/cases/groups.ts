import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { HOUR, notBefore, plain, upTo } from '../scene.js';
import { acking } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group }));
const LATE = { group: 'late' };
const SIMILAR = ['billing', 'Billing', 'billing.', 'billing-1', 'billing_1', 'billing:1', 'billing 1', 'billing*', 'billing>', 'bílling'];

/** Rules 1 and 2, with groups. */
export const groups: readonly Definition[] = [
  rule(1, 'groups that are ignored compete', { groups: 'ignored' }, async (scene) => {
    const queue = await scene.open();
    const [billing, audit] = [scene.take(queue, BILLING), scene.take(queue, AUDIT)];
    await scene.publish(queue, upTo(10));
    await scene.got([billing, audit], 10);
    assert.deepEqual(
      [...billing.numbers, ...audit.numbers].toSorted((a, b) => a - b),
      upTo(10),
    );
    await scene.settle([...billing.held, ...audit.held]);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(1, 'each group gets every message, and shares it out among its consumers', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: GROUPS });
    const billing = [scene.take(queue, BILLING, acking), scene.take(queue, BILLING, acking)];
    const audit = scene.take(queue, AUDIT, acking);
    await scene.publish(queue, upTo(20));
    await scene.gets(audit, upTo(20));
    await scene.got(billing, 20);
    await scene.counts(queue, { unfinished: 0 });
    assert.deepEqual(
      billing.flatMap(({ numbers }) => numbers).toSorted((a, b) => a - b),
      upTo(20),
    );
  }),

  rule(1, 'a consumer that names no group is one of `default`', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: ['billing', 'default'] });
    await scene.publish(queue, [1, 2, 3]);
    const payloads = scene.consume(queue);
    const { value } = await scene.within('next() to resolve', payloads.next());
    assert.deepEqual(plain(value), { n: 1 });
    await scene.within('return() to resolve', payloads.return());
    const taker = scene.take(queue, {}, acking);
    await scene.gets(taker, [2, 3]);
    await scene.counts(queue, { ready: 0, unfinished: 0 }, 'default');
    await scene.counts(queue, { ready: 3, unfinished: 3 }, 'billing');
    taker.leave();
    await scene.publish(queue, [4]);
    await scene.gets(scene.take(queue, { group: 'default' }, acking), [4]);
    await scene.gets(scene.take(queue, BILLING, acking), upTo(4));
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(1, 'groups of similar names get every message each', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: SIMILAR });
    await scene.publish(queue, [1, 2]);
    for (const group of SIMILAR) {
      await scene.counts(queue, { ready: 2, unfinished: 2 }, group);
      await scene.gets(scene.take(queue, { group }, acking), [1, 2]);
      await scene.counts(queue, { unfinished: 0 }, group);
    }
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(1, 'a slow group does not stall another', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: GROUPS });
    const slow = scene.take(queue, { ...AUDIT, prefetch: 1 });
    const fast = scene.take(queue, { ...BILLING, prefetch: 1 }, acking);
    await scene.publish(queue, upTo(50));
    await scene.gets(fast, upTo(50));
    await scene.gets(slow, [1]);
    await scene.settle(slow.held);
    await scene.gets(slow, [1, 2]);
  }),

  rule(2, 'a declared group that has no consumer yet misses nothing', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: GROUPS });
    await scene.publish(queue, [1, 2]);
    await scene.gets(scene.take(queue, BILLING, acking), [1, 2]);
    await scene.counts(queue, { unfinished: 0 }, 'billing');
    await scene.publish(queue, [3]);
    await scene.gets(scene.take(queue, AUDIT, acking), [1, 2, 3]);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(2, 'a message is held until every group has settled it, and stats() count it once', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: GROUPS });
    await scene.publish(queue, [1, 2]);
    await scene.counts(queue, { ready: 2, unfinished: 2 });
    const billing = scene.take(queue, BILLING);
    await scene.gets(billing, [1, 2]);
    await scene.settle([billing.of(1)]);
    await scene.settle([billing.of(2)], 'reject');
    await scene.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
    await scene.counts(queue, { ready: 2, unfinished: 2 }, 'audit');
    await scene.counts(queue, { unfinished: 2 });
    const audit = scene.take(queue, AUDIT);
    await scene.gets(audit, [1, 2]);
    await scene.settle(audit.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(6, 'groups settle and count attempts each on its own', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: GROUPS });
    await scene.publish(queue, [1]);
    const [billing, audit] = [scene.take(queue, BILLING), scene.take(queue, AUDIT)];
    await Promise.all([scene.gets(billing, [1]), scene.gets(audit, [1])]);
    const { id } = audit.of(1);
    assert.equal(billing.of(1).id, id, 'Expected one `id` for a message in all groups');
    await scene.settle(billing.held, 'nack');
    await scene.gets(billing, [1, 1]);
    scene.isAttempt(billing.of(1), 2);
    assert.equal(billing.of(1).id, id);
    scene.isAttempt(audit.of(1), 1);
    await scene.settle([audit.of(1), billing.of(1)]);
    assert.deepEqual(audit.numbers, [1]);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(3, 'a nack with a delay in one group delays no other', { groups: 'separate' }, async (scene) => {
    const queue = await scene.open({ groups: GROUPS });
    const [billing, audit] = [scene.take(queue, BILLING), scene.take(queue, AUDIT)];
    await scene.publish(queue, [1]);
    await Promise.all([scene.gets(billing, [1]), scene.gets(audit, [1])]);
    await scene.within('nack() to resolve', billing.of(1).nack({ delay: HOUR }));
    await scene.settle([audit.of(1)], 'release');
    await scene.gets(audit, [1, 1]);
    await scene.settle(audit.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 }, 'audit');
    await scene.counts(queue, { ready: 0, unfinished: 1 }, 'billing');
  }),

  rule(
    2,
    'a group that was not declared starts with what the queue still holds, in order',
    { groups: 'separate', lateGroups: 'held' },
    async (scene) => {
      const queue = await scene.open({ groups: ['billing'] });
      const billing = scene.take(queue, BILLING);
      await scene.publish(queue, upTo(4));
      await scene.gets(billing, upTo(4));
      await scene.settle([billing.of(1)]);
      const late = scene.take(queue, LATE);
      await scene.gets(late, [2, 3, 4]);
      for (const delivery of late.deliveries) scene.isAttempt(delivery, 1);
    },
  ),

  rule(2, 'a group that was not declared starts with what is published next', { groups: 'separate', lateGroups: 'next' }, async (scene) => {
    const queue = await scene.open({ groups: ['billing'] });
    await scene.publish(queue, [1, 2]);
    const late = scene.take(queue, LATE);
    // When its intake has begun is not to be seen from outside: it has when a message arrives.
    let last = 2;
    await scene.until('a first message for a late group', async () => {
      if (late.deliveries.length === 0) await scene.publish(queue, [++last]);
      return late.deliveries.length > 0;
    });
    assert.ok(!late.numbers.includes(1) && !late.numbers.includes(2), `Expected only what was published next, got ${late.numbers.join(' ')}`);
  }),

  rule(2, 'a group that was not declared exists from then on, though its consumer left', { groups: 'separate', lateGroups: true }, async (scene) => {
    const queue = await scene.open({ groups: ['billing'] });
    const first = scene.take(queue, LATE, acking);
    let last = 0;
    await scene.until('a first message for a late group', async () => {
      if (first.deliveries.length === 0) await scene.publish(queue, [++last]);
      return first.deliveries.length > 0;
    });
    await scene.got(first, first.deliveries.length);
    await scene.counts(queue, { unfinished: 0 }, 'late');
    first.leave();
    await scene.publish(queue, [last + 1]);
    await scene.gets(scene.take(queue, LATE, acking), [last + 1]);
  }),

  rule(3, 'a group that was not declared waits for the same time for what is delayed', { groups: 'separate', lateGroups: 'held' }, async (scene) => {
    let arrived = 0;
    const { value, delay, since } = await scene.inTime(async (delay) => {
      const queue = await scene.open({ groups: ['billing'] });
      await scene.publish(queue, [1], { delay });
      await scene.publish(queue, [2]);
      const late = scene.take(queue, LATE, () => {
        arrived = performance.now();
      });
      return { queue, late };
    });
    await scene.gets(value.late, [2, 1]);
    notBefore(arrived - since, delay);
    await scene.gets(scene.take(value.queue, BILLING), [2, 1]);
  }),

  rule(10, 'a group does not come into being before somebody subscribes', { groups: 'separate', lateGroups: true }, async (scene) => {
    const queue = await scene.open({ groups: ['billing'] });
    queue.deliveries(LATE);
    scene.consume(queue, LATE);
    scene.iterate(queue, LATE);
    const signal = AbortSignal.abort();
    scene.take(queue, { ...LATE, signal });
    await scene.within('next() to resolve', scene.consume(queue, { ...LATE, signal }).next());
    await scene.publish(queue, [1]);
    await scene.gets(scene.take(queue, BILLING, acking), [1]);
    await scene.counts(queue, { unfinished: 0 });
  }),
];
