import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { BackendUnavailableError } from '../../errors.js';
import { type Definition, rule } from '../definition.js';
import { HOUR, pass, rejectionOf, type Scene, turns, upTo } from '../scene.js';
import { acking, numberOf } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/** The shortest dedupe window that a case asks for, in milliseconds. */
const WINDOW = 1000;

/** Valid ids that a store, a header or a wire format may change. */
const IDS = [
  'order-1',
  'Order-1',
  'order-1 ',
  ' ',
  '0',
  '1-0',
  'a/b.c:d*#>',
  '{id}',
  '__proto__',
  'null',
  'line\r\nbreak',
  '\u0000',
  'é😀',
  'i'.repeat(255),
  `${'é'.repeat(127)}i`,
];

const INVALID_IDS: readonly [what: string, id: unknown][] = [
  ['an empty id', ''],
  ['an id of 256 bytes', 'i'.repeat(256)],
  ['an id of 128 characters of two bytes each', 'é'.repeat(128)],
  ['an id with a lone surrogate', 'a\uD800'],
  ['a number as the id', 5],
  ['null as the id', null],
  ['an object as the id', {}],
];

/** Publishes a number under an id until the backend confirms it. While the connection is down, the publish may reject. */
async function publishUntilConfirmed(scene: Scene, queue: QueueBackend, n: number): Promise<void> {
  const since = performance.now();
  for (;;) {
    try {
      return await queue.publish('number', { n }, { id: `id-${n}` });
    } catch (error) {
      const late = performance.now() - since > scene.deadline * 4;
      if (late || !BackendUnavailableError.is(error) || !error.retryable) throw error;
      await turns();
    }
  }
}

/** Rule 15: publishing with an `id`. */
export const deduplication: readonly Definition[] = [
  rule(15, 'a message that is published with an id has that id on every delivery', async (scene) => {
    const queue = await scene.open();
    for (const [index, id] of IDS.entries()) await scene.publish(queue, [index], { id });
    const first = scene.take(queue, { prefetch: IDS.length });
    await scene.got(first, IDS.length);
    first.leave();
    const second = scene.take(queue, { prefetch: IDS.length });
    await scene.got(second, IDS.length);
    for (const taker of [first, second]) {
      const ids = [...IDS.keys()].map((index) => taker.of(index).id);
      assert.deepEqual(ids, IDS, 'Expected `delivery.id` to be the `id` of the publish');
    }
    await scene.settle(second.held);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(15, 'a delayed message that is published with an id has that id', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1], { id: 'late', delay: 50 });
    const taker = scene.take(queue);
    await scene.gets(taker, [1]);
    assert.equal(taker.of(1).id, 'late', 'Expected `delivery.id` to be the `id` of the publish');
    await scene.settle(taker.held);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(15, 'an invalid id is refused, and nothing is enqueued', async (scene) => {
    const queue = await scene.open();
    for (const [what, id] of INVALID_IDS) {
      let published: Promise<void>;
      try {
        published = queue.publish('number', { n: 0 }, { id: id as string });
      } catch (error) {
        assert.fail(`Expected publish() with ${what} to return a promise that rejects, but it threw ${String(error)}`);
      }
      const error = await scene.within('publish() to reject', rejectionOf(`publish() with ${what}`, published));
      const { name, message } = error as Error;
      assert.ok(
        (name === 'TypeError' || name === 'RangeError') && message.includes('id'),
        `Expected a TypeError or RangeError that names the \`id\` for ${what}, got ${String(error)}`,
      );
    }
    await scene.publish(queue, [1]);
    await scene.gets(scene.take(queue), [1]);
    await scene.counts(queue, { ready: 0, unfinished: 1 });
  }),

  rule(15, 'a second publish with the same id resolves and is not stored', { dedupe: true }, async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1], { id: 'a' });
    await scene.publish(queue, [2], { id: 'b' });
    await scene.publish(queue, [3], { id: 'a' });
    await scene.publish(queue, [4], { id: 'A' });
    await scene.publish(queue, [5], { id: 'b', headers: { trace: 't-5' } });
    await scene.publish(queue, [6]);
    await scene.publish(queue, [6]);
    await scene.counts(queue, { ready: 5, unfinished: 5 });
    const taker = scene.take(queue, {}, acking);
    await scene.gets(taker, [1, 2, 4, 6, 6]);
    assert.deepEqual(
      taker.deliveries.slice(0, 3).map(({ id }) => id),
      ['a', 'b', 'A'],
    );
    assert.deepEqual({ ...taker.of(2).headers }, {}, 'Expected the headers of the first publish');
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(
    15,
    'a duplicate is recognised while the message is in flight, after a nack and after an ack',
    { dedupe: true },
    async (scene) => {
      const queue = await scene.open();
      const duplicate = () => scene.publish(queue, [99], { id: 'a' });
      const taker = scene.take(queue, { prefetch: 8 });
      await scene.publish(queue, [1], { id: 'a' });
      await scene.gets(taker, [1]);
      await duplicate();
      await scene.settle(taker.held, 'nack');
      await duplicate();
      await scene.gets(taker, [1, 1]);
      await scene.settle(taker.held);
      await duplicate();
      await scene.publish(queue, [2], { id: 'b' });
      await scene.gets(taker, [1, 1, 2]);
      await scene.settle(taker.held, 'reject');
      await scene.publish(queue, [99], { id: 'b' });
      await scene.publish(queue, [3]);
      await scene.gets(taker, [1, 1, 2, 3]);
      await scene.settle(taker.held);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(15, 'of many publishes at once with one id, only the first is stored', { dedupe: true }, async (scene) => {
    const queue = await scene.open();
    const numbers = upTo(200);
    const published = Promise.all(numbers.map((n) => queue.publish('number', { n }, { id: `id-${n % 10}` })));
    await scene.within('publish() to resolve', published, scene.deadline * 3);
    await scene.publish(queue, [201]);
    await scene.gets(scene.take(queue, { prefetch: 32 }, acking), [...upTo(10), 201]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(
    15,
    'an id is a duplicate within the dedupe window, and stored again after it',
    { dedupe: true },
    async (scene) => {
      const { value: queue, delay: window } = await scene.inTime(async (dedupeWindow) => {
        const queue = await scene.open({ dedupeWindow });
        await scene.publish(queue, [1], { id: 'a' });
        await pass(dedupeWindow / 2);
        await scene.publish(queue, [2], { id: 'a' });
        return queue;
      }, WINDOW);
      await scene.counts(queue, { ready: 1, unfinished: 1 });
      const taker = scene.take(queue, {}, acking);
      await scene.gets(taker, [1]);
      // A duplicate may extend the window, so each look waits for a whole one.
      await scene.until('an id to be stored again after the dedupe window', async () => {
        await pass(window * 1.5);
        await scene.publish(queue, [3], { id: 'a' });
        await turns(3);
        return taker.numbers.includes(3);
      });
      assert.deepEqual([...new Set(taker.numbers)], [1, 3]);
      assert.equal(taker.of(3).id, 'a');
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(15, 'a delayed message and its duplicates, delayed or not, are one message', { dedupe: true }, async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1], { id: 'a', delay: HOUR });
    await scene.publish(queue, [2], { id: 'a' });
    await scene.publish(queue, [3], { id: 'a', delay: 1 });
    await scene.counts(queue, { ready: 0, unfinished: 1 });
    await scene.publish(queue, [4], { id: 'b' });
    await scene.publish(queue, [5], { id: 'b', delay: HOUR });
    await scene.publish(queue, [6], { id: 'c', delay: 50 });
    await scene.publish(queue, [7], { id: 'c', delay: 50 });
    await scene.publish(queue, [8], { id: 'd', delay: 100 });
    const taker = scene.take(queue, {}, acking);
    await scene.gets(taker, [4, 6, 8]);
    await scene.publish(queue, [9], { id: 'c' });
    await scene.publish(queue, [10]);
    await scene.gets(taker, [4, 6, 8, 10]);
    await scene.counts(queue, { ready: 0, unfinished: 1 });
  }),

  rule(15, 'an id that a refused publish named can be published', { dedupe: true }, async (scene) => {
    const queue = await scene.open();
    const { signal } = new AbortController();
    await rejectionOf('publish() of an invalid payload', queue.publish('number', [] as object, { id: 'a', signal }));
    await rejectionOf('publish() of an invalid key', queue.publish('', { n: 0 }, { id: 'a' }));
    const aborted = queue.publish('number', { n: 0 }, { id: 'a', signal: AbortSignal.abort() });
    await rejectionOf('publish() with an aborted signal', aborted);
    await scene.publish(queue, [1], { id: 'a' });
    await scene.publish(queue, [2], { id: 'a' });
    await scene.publish(queue, [3]);
    await scene.gets(scene.take(queue, {}, acking), [1, 3]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(15, 'queues deduplicate each on its own', { dedupe: true }, async (scene) => {
    const queues = [await scene.open(), await scene.open()] as const;
    for (const queue of queues) await scene.publish(queue, [1], { id: 'a' });
    for (const queue of queues) {
      await scene.publish(queue, [2], { id: 'a' });
      await scene.publish(queue, [3]);
      await scene.gets(scene.take(queue, {}, acking), [1, 3]);
    }
  }),

  rule(
    15,
    'a duplicate reaches no group, whichever group has settled the message',
    { dedupe: true, groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      await scene.publish(queue, [1], { id: 'a' });
      const billing = scene.take(queue, BILLING, acking);
      await scene.gets(billing, [1]);
      await scene.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
      await scene.publish(queue, [2], { id: 'a' });
      await scene.publish(queue, [3]);
      await scene.gets(billing, [1, 3]);
      await scene.gets(scene.take(queue, AUDIT, acking), [1, 3]);
      await scene.publish(queue, [4], { id: 'a' });
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(
    15,
    'an id belongs to the queue: a publish for one group and a publish for all deduplicate each other',
    { dedupe: true, groups: 'separate' },
    async (scene) => {
      const queue = await scene.open({ groups: GROUPS });
      await scene.publish(queue, [1], { id: 'a', ...BILLING });
      await scene.publish(queue, [2], { id: 'a', ...AUDIT });
      await scene.publish(queue, [3], { id: 'a' });
      await scene.publish(queue, [4], { id: 'b' });
      await scene.publish(queue, [5], { id: 'b', ...AUDIT });
      await scene.publish(queue, [6]);
      await scene.gets(scene.take(queue, BILLING, acking), [1, 4, 6]);
      await scene.gets(scene.take(queue, AUDIT, acking), [4, 6]);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(15, 'two backends of one queue deduplicate together', { dedupe: true, shared: true }, async (scene) => {
    const name = scene.newName();
    const backends = [await scene.open({ name }), await scene.open({ name })] as const;
    const [first, second] = backends;
    await scene.publish(first, [1], { id: 'a' });
    await scene.publish(second, [2], { id: 'a' });
    await scene.publish(second, [3], { id: 'b' });
    await scene.publish(first, [4], { id: 'b' });
    await Promise.all(backends.map((backend) => scene.publish(backend, [5], { id: 'c' })));
    await scene.publish(first, [6]);
    await scene.gets(scene.take(second, {}, acking), [1, 3, 5, 6]);
    await scene.counts(first, { ready: 0, unfinished: 0 });
  }),

  rule(
    15,
    'an id is a duplicate after its publisher was closed, also of a delayed message',
    { dedupe: true, shared: true },
    async (scene) => {
      const name = scene.newName();
      const first = await scene.open({ name });
      await scene.publish(first, [1], { id: 'a' });
      await scene.publish(first, [2], { id: 'b', delay: HOUR });
      await scene.within('close() to resolve', first.close());
      const second = await scene.open({ name });
      await scene.publish(second, [3], { id: 'a' });
      await scene.publish(second, [4], { id: 'b' });
      await scene.publish(second, [5]);
      await scene.gets(scene.take(second, {}, acking), [1, 5]);
      await scene.counts(second, { ready: 0, unfinished: 1 });
    },
  ),

  rule(
    15,
    'a publish that is repeated after a lost connection is stored once',
    { dedupe: true, disconnect: true },
    async (scene) => {
      const queue = await scene.open();
      const count = scene.scaled(300);
      const numbers = upTo(count);
      let disturbed = Promise.resolve();
      for (const n of numbers) {
        if (n % 100 === 50) disturbed = Promise.resolve(scene.capabilities.disconnect?.(queue));
        await publishUntilConfirmed(scene, queue, n);
        await publishUntilConfirmed(scene, queue, n);
      }
      await scene.within('disconnect() to resolve', disturbed);
      await scene.counts(queue, { ready: count, unfinished: count });
      const got = new Set<number>();
      const taker = scene.take(queue, {}, (delivery) => {
        got.add(numberOf(delivery.payload));
        return delivery.ack();
      });
      await scene.until(
        () => `all of ${count} messages, got ${got.size}`,
        () => got.size === count,
        () => got.size,
      );
      await scene.counts(queue, { ready: 0, unfinished: 0 });
      assert.equal(new Set(taker.deliveries.map(({ id }) => id)).size, count);
    },
  ),
];
