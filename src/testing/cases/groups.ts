import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { HOUR, plain, upTo } from '../scene.js';
import { acking } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group }));
const SIMILAR = [
  'billing',
  'Billing',
  'billing.',
  'billing-1',
  'billing_1',
  'billing:1',
  'billing 1',
  'billing*',
  'billing>',
  'bílling',
];

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

  rule(1, 'a publish for a group that is ignored goes to any consumer', { groups: 'ignored' }, async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1, 2], BILLING);
    await scene.gets(scene.take(queue, AUDIT, acking), [1, 2]);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(
    1,
    'each group gets every message, and shares it out among its consumers',
    { groups: 'separate' },
    async (scene) => {
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
    },
  ),

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

  rule(
    2,
    'a message is held until every group has settled it, and stats() count it once',
    { groups: 'separate' },
    async (scene) => {
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
    },
  ),

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
];
