import assert from 'node:assert/strict';
import { HOUR, plain, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking } from '../test-consumer.js';

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

/** Rules 1, 2, 3 and 6 with groups. */
export const groups: readonly Definition[] = [
  rule(1, 'consumers of ignored groups compete', { groups: 'ignored' }, async (t) => {
    const queue = await t.open();
    const [billing, audit] = [t.addConsumer(queue, BILLING), t.addConsumer(queue, AUDIT)];
    await t.publish(queue, upTo(10));
    await t.receives([billing, audit], 10);
    assert.deepEqual(
      [...billing.numbers, ...audit.numbers].toSorted((a, b) => a - b),
      upTo(10),
    );
    await t.settle([...billing.inFlight, ...audit.inFlight]);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(1, 'a publish for an ignored group reaches any consumer', { groups: 'ignored' }, async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1, 2], BILLING);
    await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1, 2]);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(1, 'each group gets every message, and its consumers compete', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    const billing = [t.addConsumer(queue, BILLING, acking), t.addConsumer(queue, BILLING, acking)];
    const audit = t.addConsumer(queue, AUDIT, acking);
    await t.publish(queue, upTo(20));
    await t.receivesExactly(audit, upTo(20));
    await t.receives(billing, 20);
    await t.counts(queue, { unfinished: 0 });
    assert.deepEqual(
      billing.flatMap(({ numbers }) => numbers).toSorted((a, b) => a - b),
      upTo(20),
    );
  }),

  rule(1, 'a consumer without a group joins `default`', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: ['billing', 'default'] });
    await t.publish(queue, [1, 2, 3]);
    const payloads = t.consume(queue);
    const { value } = await t.within('next() to resolve', payloads.next());
    assert.deepEqual(plain(value), { n: 1 });
    await t.within('return() to resolve', payloads.return());
    const consumer = t.addConsumer(queue, {}, acking);
    await t.receivesExactly(consumer, [2, 3]);
    await t.counts(queue, { ready: 0, unfinished: 0 }, 'default');
    await t.counts(queue, { ready: 3, unfinished: 3 }, 'billing');
    consumer.unsubscribe();
    await t.publish(queue, [4]);
    await t.receivesExactly(t.addConsumer(queue, { group: 'default' }, acking), [4]);
    await t.receivesExactly(t.addConsumer(queue, BILLING, acking), upTo(4));
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(1, 'groups with similar names each get every message', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: SIMILAR });
    await t.publish(queue, [1, 2]);
    for (const group of SIMILAR) {
      await t.counts(queue, { ready: 2, unfinished: 2 }, group);
      await t.receivesExactly(t.addConsumer(queue, { group }, acking), [1, 2]);
      await t.counts(queue, { unfinished: 0 }, group);
    }
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(1, 'a slow group does not stall another', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    const slow = t.addConsumer(queue, { ...AUDIT, prefetch: 1 });
    const fast = t.addConsumer(queue, { ...BILLING, prefetch: 1 }, acking);
    await t.publish(queue, upTo(50));
    await t.receivesExactly(fast, upTo(50));
    await t.receivesExactly(slow, [1]);
    await t.settle(slow.inFlight);
    await t.receivesExactly(slow, [1, 2]);
  }),

  rule(2, 'a declared group without a consumer misses no message', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    await t.publish(queue, [1, 2]);
    await t.receivesExactly(t.addConsumer(queue, BILLING, acking), [1, 2]);
    await t.counts(queue, { unfinished: 0 }, 'billing');
    await t.publish(queue, [3]);
    await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1, 2, 3]);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(
    2,
    'a message is kept until every group has settled it, and stats() counts it once',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      await t.publish(queue, [1, 2]);
      await t.counts(queue, { ready: 2, unfinished: 2 });
      const billing = t.addConsumer(queue, BILLING);
      await t.receivesExactly(billing, [1, 2]);
      await t.settle([billing.of(1)]);
      await t.settle([billing.of(2)], 'reject');
      await t.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
      await t.counts(queue, { ready: 2, unfinished: 2 }, 'audit');
      await t.counts(queue, { unfinished: 2 });
      const audit = t.addConsumer(queue, AUDIT);
      await t.receivesExactly(audit, [1, 2]);
      await t.settle(audit.inFlight);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(6, 'each group settles and counts attempts on its own', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    await t.publish(queue, [1]);
    const [billing, audit] = [t.addConsumer(queue, BILLING), t.addConsumer(queue, AUDIT)];
    await Promise.all([t.receivesExactly(billing, [1]), t.receivesExactly(audit, [1])]);
    const { id } = audit.of(1);
    assert.equal(billing.of(1).id, id, 'Expected one `id` for a message in all groups');
    await t.settle(billing.inFlight, 'nack');
    await t.receivesExactly(billing, [1, 1]);
    t.isAttempt(billing.of(1), 2);
    assert.equal(billing.of(1).id, id);
    t.isAttempt(audit.of(1), 1);
    await t.settle([audit.of(1), billing.of(1)]);
    assert.deepEqual(audit.numbers, [1]);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(3, 'a delayed nack in one group does not delay another group', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    const [billing, audit] = [t.addConsumer(queue, BILLING), t.addConsumer(queue, AUDIT)];
    await t.publish(queue, [1]);
    await Promise.all([t.receivesExactly(billing, [1]), t.receivesExactly(audit, [1])]);
    await t.within('nack() to resolve', billing.of(1).nack({ delay: HOUR }));
    await t.settle([audit.of(1)], 'release');
    await t.receivesExactly(audit, [1, 1]);
    await t.settle(audit.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 }, 'audit');
    await t.counts(queue, { ready: 0, unfinished: 1 }, 'billing');
  }),
];
