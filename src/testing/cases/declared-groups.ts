import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { ConfigurationError, SluiceError } from '../../errors.js';
import { type Definition, rule } from '../definition.js';
import { HOUR, notBefore, rejectionOf, type Scene, upTo } from '../scene.js';
import { acking } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/** Calls everything that takes a group, for one that was not declared. Resolves to what each call threw or rejected with; undefined if it did neither. */
async function refusals(scene: Scene, queue: QueueBackend, group: string): Promise<Map<string, unknown>> {
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
    errors.set(
      name,
      await scene.within(`${name} to reject`, rejectionOf(`${name} for a group that was not declared`, call())),
    );
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

/** Groups have to be declared, and a publish may be for one of them. */
export const declaredGroups: readonly Definition[] = [
  rule(
    1,
    'a group that was not declared is refused at the call, by an error that names it and the declared ones',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      for (const group of ['late', 'Billing', 'default']) {
        for (const [call, error] of await refusals(scene, queue, group)) {
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
        `Expected deliveries() without a group to fail where \`default\` is not declared, got ${String(error)}`,
      );
    },
  ),

  rule(
    2,
    'what is refused for a group that was not declared creates nothing',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      await refusals(scene, queue, 'late');
      await scene.counts(queue, { ready: 0, unfinished: 0 });
      await scene.publish(queue, [1]);
      await refusals(scene, queue, 'late');
      await scene.counts(queue, { ready: 1, unfinished: 1 });
      for (const group of GROUPS) {
        await scene.counts(queue, { ready: 1, unfinished: 1 }, group);
        await scene.gets(scene.take(queue, { group }, acking), [1]);
      }
      // A group without a consumer would retain the message.
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(
    1,
    'a publish for one group reaches that group only, and counts there',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      await scene.publish(queue, [1, 2], BILLING);
      await scene.publish(queue, [3], AUDIT);
      await scene.publish(queue, [4]);
      await scene.counts(queue, { ready: 3, unfinished: 3 }, 'billing');
      await scene.counts(queue, { ready: 2, unfinished: 2 }, 'audit');
      await scene.counts(queue, { ready: 4, unfinished: 4 });
      await scene.gets(scene.take(queue, BILLING, acking), [1, 2, 4]);
      await scene.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
      await scene.counts(queue, { ready: 2, unfinished: 2 });
      await scene.gets(scene.take(queue, AUDIT, acking), [3, 4]);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(
    3,
    'messages for one group and for all arrive in the order of the publish() calls',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      const options = [undefined, BILLING, AUDIT, BILLING, undefined] as const;
      const numbers = upTo(40);
      const optionsOf = (n: number) => options[n % options.length];
      await Promise.all(numbers.map((n) => scene.publish(queue, [n], optionsOf(n))));
      for (const own of [BILLING, AUDIT]) {
        const expected = numbers.filter((n) => optionsOf(n) === undefined || optionsOf(n) === own);
        const taker = scene.take(queue, { ...own, prefetch: expected.length });
        await scene.gets(taker, expected);
        await scene.settle(taker.held);
      }
      await scene.counts(queue, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'a message for one group goes back to its place among those for all',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      for (const n of upTo(4)) await scene.publish(queue, [n], n % 2 === 0 ? BILLING : {});
      const taker = scene.take(queue, { ...BILLING, prefetch: 1 });
      await scene.gets(taker, [1]);
      await scene.settle(taker.held);
      await scene.gets(taker, [1, 2]);
      await scene.settle(taker.held, 'nack');
      await scene.gets(taker, [1, 2, 2]);
      scene.isAttempt(taker.of(2), 2);
      await scene.settle(taker.held);
      await scene.gets(taker, [1, 2, 2, 3]);
      await scene.settle(taker.held, 'release');
      await scene.gets(taker, [1, 2, 2, 3, 3]);
      await scene.settle(taker.held);
      await scene.gets(taker, [1, 2, 2, 3, 3, 4]);
      await scene.settle(taker.held);
      await scene.gets(scene.take(queue, AUDIT, acking), [1, 3]);
      await scene.counts(queue, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'a delayed publish for one group reaches that group only, after its delay',
    { groups: 'separate' },
    async (scene) => {
      let arrived = 0;
      const { value, delay, since } = await scene.inTime(async (delay) => {
        const queue = await scene.open({ groups: GROUPS });
        const billing = scene.take(queue, BILLING, (delivery) => {
          arrived = performance.now();
          return delivery.ack();
        });
        await scene.publish(queue, [1], { ...BILLING, delay });
        await scene.publish(queue, [2]);
        return { queue, billing };
      });
      const { queue, billing } = value;
      await scene.gets(billing, [2, 1]);
      notBefore(arrived - since, delay);
      await scene.publish(queue, [3]);
      await scene.gets(billing, [2, 1, 3]);
      await scene.gets(scene.take(queue, AUDIT, acking), [2, 3]);
      await scene.counts(queue, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'a delayed publish for one group is unfinished there and nowhere else',
    { groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      await scene.publish(queue, [1], { ...BILLING, delay: HOUR });
      await scene.counts(queue, { ready: 0, unfinished: 1 }, 'billing');
      await scene.counts(queue, { ready: 0, unfinished: 0 }, 'audit');
      await scene.counts(queue, { ready: 0, unfinished: 1 });
    },
  ),

  rule(
    2,
    'a group that is added to the declaration starts with what the queue still holds, in order',
    { groups: 'separate', shared: true, addedGroups: 'held' },
    async (scene) => {
      const name = scene.newName();
      const queue = await scene.open({ name, groups: ['billing'] });
      const billing = scene.take(queue, BILLING);
      await scene.publish(queue, [1, 2, 3]);
      await scene.publish(queue, [4], BILLING);
      await scene.publish(queue, [5]);
      await scene.gets(billing, upTo(5));
      await scene.settle([billing.of(1)]);
      const added = await scene.open({ name, groups: GROUPS });
      const audit = scene.take(added, AUDIT, acking);
      await scene.gets(audit, [2, 3, 5]);
      for (const delivery of audit.deliveries) scene.isAttempt(delivery, 1);
      await scene.publish(queue, [6]);
      await scene.gets(audit, [2, 3, 5, 6]);
      await scene.gets(billing, upTo(6));
      await scene.settle(billing.held);
      await scene.counts(added, { unfinished: 0 });
    },
  ),

  rule(
    3,
    'a group that is added to the declaration waits for the same time for what is delayed',
    { groups: 'separate', shared: true, addedGroups: 'held' },
    async (scene) => {
      let arrived = 0;
      const { value, delay, since } = await scene.inTime(async (delay) => {
        const name = scene.newName();
        const queue = await scene.open({ name, groups: ['billing'] });
        await scene.publish(queue, [1], { delay });
        await scene.publish(queue, [2]);
        const audit = scene.take(await scene.open({ name, groups: GROUPS }), AUDIT, () => {
          arrived = performance.now();
        });
        await scene.got(audit, 1);
        return { queue, audit };
      });
      await scene.gets(value.audit, [2, 1]);
      notBefore(arrived - since, delay);
      await scene.gets(scene.take(value.queue, BILLING), [2, 1]);
    },
  ),

  rule(
    2,
    'a group that is added to the declaration starts with what is published next',
    { groups: 'separate', shared: true, addedGroups: 'next' },
    async (scene) => {
      const name = scene.newName();
      const queue = await scene.open({ name, groups: ['billing'] });
      await scene.publish(queue, [1, 2]);
      const added = await scene.open({ name, groups: GROUPS });
      await scene.publish(added, [3]);
      await scene.publish(queue, [4]);
      await scene.gets(scene.take(added, AUDIT, acking), [3, 4]);
      await scene.gets(scene.take(queue, BILLING, acking), upTo(4));
      await scene.counts(added, { unfinished: 0 });
    },
  ),
];
