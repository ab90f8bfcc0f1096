import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { ConfigurationError, SluiceError } from '../../errors.js';
import { type CaseContext, HOUR, notBefore, rejectionOf, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking } from '../test-consumer.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/**
 * Calls every method that takes a group. Resolves to the error of each call, or undefined if there
 * was none.
 */
async function refusals(t: CaseContext, queue: QueueBackend, group: string): Promise<Map<string, unknown>> {
  const errors = new Map<string, unknown>();
  for (const face of ['deliveries', 'consume'] as const) {
    errors.set(
      `${face}()`,
      thrownBy(() => queue[face]({ group })),
    );
  }
  for (const [name, call] of [
    ['stats()', () => queue.stats({ group })],
    ['publish()', () => queue.publish('number', { n: 0 }, { group })],
  ] as const) {
    errors.set(name, await t.within(`${name} to reject`, rejectionOf(`${name} for an undeclared group`, call())));
  }
  return errors;
}

function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Rules 1 to 3 with declared groups and publishes for one group. */
export const declaredGroups: readonly Definition[] = [
  rule(
    1,
    'an undeclared group is refused at the call, with an error that names it and the declared groups',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      for (const group of ['late', 'Billing', 'default']) {
        for (const [call, error] of await refusals(t, queue, group)) {
          const what = `Expected ${call} for the undeclared group "${group}" to fail with a ConfigurationError, got ${String(error)}`;
          assert.ok(ConfigurationError.is(error) && SluiceError.is(error), what);
          for (const name of [group, ...GROUPS]) {
            assert.ok(
              error.message.includes(name),
              `Expected the error of ${call} to name the group "${name}", got: ${error.message}`,
            );
          }
        }
      }
      const error = thrownBy(() => queue.deliveries());
      assert.ok(
        ConfigurationError.is(error),
        `Expected deliveries() without a group to fail if \`default\` is not declared, got ${String(error)}`,
      );
    },
  ),

  rule(2, 'a refused call for an undeclared group creates nothing', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    await refusals(t, queue, 'late');
    await t.counts(queue, { ready: 0, unfinished: 0 });
    await t.publish(queue, [1]);
    await refusals(t, queue, 'late');
    await t.counts(queue, { ready: 1, unfinished: 1 });
    for (const group of GROUPS) {
      await t.counts(queue, { ready: 1, unfinished: 1 }, group);
      await t.receivesExactly(t.addConsumer(queue, { group }, acking), [1]);
    }
    // A newly created group would retain the message.
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(
    1,
    'a publish for one group reaches only that group and counts only there',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      await t.publish(queue, [1, 2], BILLING);
      await t.publish(queue, [3], AUDIT);
      await t.publish(queue, [4]);
      await t.counts(queue, { ready: 3, unfinished: 3 }, 'billing');
      await t.counts(queue, { ready: 2, unfinished: 2 }, 'audit');
      await t.counts(queue, { ready: 4, unfinished: 4 });
      await t.receivesExactly(t.addConsumer(queue, BILLING, acking), [1, 2, 4]);
      await t.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
      await t.counts(queue, { ready: 2, unfinished: 2 });
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [3, 4]);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(
    3,
    'messages for one group and for all groups arrive in the order of the publish() calls',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      const options = [undefined, BILLING, AUDIT, BILLING, undefined] as const;
      const numbers = upTo(40);
      const optionsOf = (n: number) => options[n % options.length];
      await Promise.all(numbers.map((n) => t.publish(queue, [n], optionsOf(n))));
      for (const own of [BILLING, AUDIT]) {
        const expected = numbers.filter((n) => optionsOf(n) === undefined || optionsOf(n) === own);
        const consumer = t.addConsumer(queue, { ...own, prefetch: expected.length });
        await t.receivesExactly(consumer, expected);
        await t.settle(consumer.inFlight);
      }
      await t.counts(queue, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'a requeued message for one group returns to its place among the messages for all groups',
    { groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      for (const n of upTo(4)) await t.publish(queue, [n], n % 2 === 0 ? BILLING : {});
      const consumer = t.addConsumer(queue, { ...BILLING, prefetch: 1 });
      await t.receivesExactly(consumer, [1]);
      await t.settle(consumer.inFlight);
      await t.receivesExactly(consumer, [1, 2]);
      await t.settle(consumer.inFlight, 'nack');
      await t.receivesExactly(consumer, [1, 2, 2]);
      t.isAttempt(consumer.of(2), 2);
      await t.settle(consumer.inFlight);
      await t.receivesExactly(consumer, [1, 2, 2, 3]);
      await t.settle(consumer.inFlight, 'release');
      await t.receivesExactly(consumer, [1, 2, 2, 3, 3]);
      await t.settle(consumer.inFlight);
      await t.receivesExactly(consumer, [1, 2, 2, 3, 3, 4]);
      await t.settle(consumer.inFlight);
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1, 3]);
      await t.counts(queue, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'a delayed publish for one group reaches only that group, after the delay',
    { groups: 'separate' },
    async (t) => {
      let arrived = 0;
      const { value, delay, since } = await t.inTime(async (delay) => {
        const queue = await t.open({ groups: GROUPS });
        const billing = t.addConsumer(queue, BILLING, (delivery) => {
          arrived = performance.now();
          return delivery.ack();
        });
        await t.publish(queue, [1], { ...BILLING, delay });
        await t.publish(queue, [2]);
        return { queue, billing };
      });
      const { queue, billing } = value;
      await t.receivesExactly(billing, [2, 1]);
      notBefore(arrived - since, delay);
      await t.publish(queue, [3]);
      await t.receivesExactly(billing, [2, 1, 3]);
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [2, 3]);
      await t.counts(queue, { unfinished: 0 });
    },
  ),

  rule(3, 'a delayed publish for one group is unfinished only there', { groups: 'separate' }, async (t) => {
    const queue = await t.open({ groups: GROUPS });
    await t.publish(queue, [1], { ...BILLING, delay: HOUR });
    await t.counts(queue, { ready: 0, unfinished: 1 }, 'billing');
    await t.counts(queue, { ready: 0, unfinished: 0 }, 'audit');
    await t.counts(queue, { ready: 0, unfinished: 1 });
  }),

  rule(
    2,
    'an added group starts with the messages that the queue still holds, in order',
    { groups: 'separate', shared: true, addedGroups: 'held' },
    async (t) => {
      const name = t.newName();
      const queue = await t.open({ name, groups: ['billing'] });
      const billing = t.addConsumer(queue, BILLING);
      await t.publish(queue, [1, 2, 3]);
      await t.publish(queue, [4], BILLING);
      await t.publish(queue, [5]);
      await t.receivesExactly(billing, upTo(5));
      await t.settle([billing.of(1)]);
      const added = await t.open({ name, groups: GROUPS });
      const audit = t.addConsumer(added, AUDIT, acking);
      await t.receivesExactly(audit, [2, 3, 5]);
      for (const delivery of audit.deliveries) t.isAttempt(delivery, 1);
      await t.publish(queue, [6]);
      await t.receivesExactly(audit, [2, 3, 5, 6]);
      await t.receivesExactly(billing, upTo(6));
      await t.settle(billing.inFlight);
      await t.counts(added, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'an added group gets a delayed message when it is due',
    { groups: 'separate', shared: true, addedGroups: 'held' },
    async (t) => {
      let arrived = 0;
      const { value, delay, since } = await t.inTime(async (delay) => {
        const name = t.newName();
        const queue = await t.open({ name, groups: ['billing'] });
        await t.publish(queue, [1], { delay });
        await t.publish(queue, [2]);
        const audit = t.addConsumer(await t.open({ name, groups: GROUPS }), AUDIT, () => {
          arrived = performance.now();
        });
        await t.receives(audit, 1);
        return { queue, audit };
      });
      await t.receivesExactly(value.audit, [2, 1]);
      notBefore(arrived - since, delay);
      await t.receivesExactly(t.addConsumer(value.queue, BILLING), [2, 1]);
    },
  ),

  rule(
    2,
    'an added group starts with the next message',
    { groups: 'separate', shared: true, addedGroups: 'next' },
    async (t) => {
      const name = t.newName();
      const queue = await t.open({ name, groups: ['billing'] });
      await t.publish(queue, [1, 2]);
      const added = await t.open({ name, groups: GROUPS });
      await t.publish(added, [3]);
      await t.publish(queue, [4]);
      await t.receivesExactly(t.addConsumer(added, AUDIT, acking), [3, 4]);
      await t.receivesExactly(t.addConsumer(queue, BILLING, acking), upTo(4));
      await t.counts(added, { unfinished: 0 });
    },
  ),
];
