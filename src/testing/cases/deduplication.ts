import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { BackendUnavailableError } from '../../errors.js';
import { type CaseContext, HOUR, pass, rejectionOf, turns, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, numberOf } from '../test-consumer.js';

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

/**
 * Publishes a number under an id until the backend confirms it. While the connection is down, the
 * publish may reject.
 */
async function publishUntilConfirmed(t: CaseContext, queue: QueueBackend, n: number): Promise<void> {
  const since = performance.now();
  for (;;) {
    try {
      return await queue.publish('number', { n }, { id: `id-${n}` });
    } catch (error) {
      const late = performance.now() - since > t.deadline * 4;
      if (late || !BackendUnavailableError.is(error) || !error.retryable) throw error;
      await turns();
    }
  }
}

/** Rule 15: publishing with an `id`. */
export const deduplication: readonly Definition[] = [
  rule(15, 'a message that is published with an id has that id on every delivery', async (t) => {
    const queue = await t.open();
    for (const [index, id] of IDS.entries()) await t.publish(queue, [index], { id });
    const first = t.addConsumer(queue, { prefetch: IDS.length });
    await t.receives(first, IDS.length);
    first.unsubscribe();
    const second = t.addConsumer(queue, { prefetch: IDS.length });
    await t.receives(second, IDS.length);
    for (const consumer of [first, second]) {
      const ids = [...IDS.keys()].map((index) => consumer.of(index).id);
      assert.deepEqual(ids, IDS, 'Expected `delivery.id` to be the `id` of the publish');
    }
    await t.settle(second.inFlight);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(15, 'a delayed message that is published with an id has that id', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1], { id: 'late', delay: 50 });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1]);
    assert.equal(consumer.of(1).id, 'late', 'Expected `delivery.id` to be the `id` of the publish');
    await t.settle(consumer.inFlight);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(15, 'an invalid id is refused, and nothing is enqueued', async (t) => {
    const queue = await t.open();
    for (const [what, id] of INVALID_IDS) {
      let published: Promise<void>;
      try {
        published = queue.publish('number', { n: 0 }, { id: id as string });
      } catch (error) {
        assert.fail(`Expected publish() with ${what} to return a promise that rejects, but it threw ${String(error)}`);
      }
      const error = await t.within('publish() to reject', rejectionOf(`publish() with ${what}`, published));
      const { name, message } = error as Error;
      assert.ok(
        (name === 'TypeError' || name === 'RangeError') && message.includes('id'),
        `Expected a TypeError or RangeError that names the \`id\` for ${what}, got ${String(error)}`,
      );
    }
    await t.publish(queue, [1]);
    await t.receivesExactly(t.addConsumer(queue), [1]);
    await t.counts(queue, { ready: 0, unfinished: 1 });
  }),

  rule(15, 'a second publish with the same id resolves and is not stored', { dedupe: true }, async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1], { id: 'a' });
    await t.publish(queue, [2], { id: 'b' });
    await t.publish(queue, [3], { id: 'a' });
    await t.publish(queue, [4], { id: 'A' });
    await t.publish(queue, [5], { id: 'b', headers: { trace: 't-5' } });
    await t.publish(queue, [6]);
    await t.publish(queue, [6]);
    await t.counts(queue, { ready: 5, unfinished: 5 });
    const consumer = t.addConsumer(queue, {}, acking);
    await t.receivesExactly(consumer, [1, 2, 4, 6, 6]);
    assert.deepEqual(
      consumer.deliveries.slice(0, 3).map(({ id }) => id),
      ['a', 'b', 'A'],
    );
    assert.deepEqual({ ...consumer.of(2).headers }, {}, 'Expected the headers of the first publish');
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(
    15,
    'a duplicate is recognised while the message is in flight, after a nack and after an ack',
    { dedupe: true },
    async (t) => {
      const queue = await t.open();
      const duplicate = () => t.publish(queue, [99], { id: 'a' });
      const consumer = t.addConsumer(queue, { prefetch: 8 });
      await t.publish(queue, [1], { id: 'a' });
      await t.receivesExactly(consumer, [1]);
      await duplicate();
      await t.settle(consumer.inFlight, 'nack');
      await duplicate();
      await t.receivesExactly(consumer, [1, 1]);
      await t.settle(consumer.inFlight);
      await duplicate();
      await t.publish(queue, [2], { id: 'b' });
      await t.receivesExactly(consumer, [1, 1, 2]);
      await t.settle(consumer.inFlight, 'reject');
      await t.publish(queue, [99], { id: 'b' });
      await t.publish(queue, [3]);
      await t.receivesExactly(consumer, [1, 1, 2, 3]);
      await t.settle(consumer.inFlight);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(15, 'of many publishes at once with one id, only the first is stored', { dedupe: true }, async (t) => {
    const queue = await t.open();
    const numbers = upTo(200);
    const published = Promise.all(numbers.map((n) => queue.publish('number', { n }, { id: `id-${n % 10}` })));
    await t.within('publish() to resolve', published, t.deadline * 3);
    await t.publish(queue, [201]);
    await t.receivesExactly(t.addConsumer(queue, { prefetch: 32 }, acking), [...upTo(10), 201]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(15, 'an id is a duplicate within the dedupe window, and stored again after it', { dedupe: true }, async (t) => {
    const { value: queue, delay: window } = await t.inTime(async (dedupeWindow) => {
      const queue = await t.open({ dedupeWindow });
      await t.publish(queue, [1], { id: 'a' });
      await pass(dedupeWindow / 2);
      await t.publish(queue, [2], { id: 'a' });
      return queue;
    }, WINDOW);
    await t.counts(queue, { ready: 1, unfinished: 1 });
    const consumer = t.addConsumer(queue, {}, acking);
    await t.receivesExactly(consumer, [1]);
    // A duplicate may extend the window, so each look waits for a whole one.
    await t.until('an id to be stored again after the dedupe window', async () => {
      await pass(window * 1.5);
      await t.publish(queue, [3], { id: 'a' });
      await turns(3);
      return consumer.numbers.includes(3);
    });
    assert.deepEqual([...new Set(consumer.numbers)], [1, 3]);
    assert.equal(consumer.of(3).id, 'a');
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(15, 'a delayed message and its delayed duplicates are one message', { dedupe: true }, async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1], { id: 'a', delay: HOUR });
    await t.publish(queue, [2], { id: 'a', delay: 1 });
    await t.counts(queue, { ready: 0, unfinished: 1 });
    await t.publish(queue, [3], { id: 'b', delay: 50 });
    await t.publish(queue, [4], { id: 'b', delay: 50 });
    await t.publish(queue, [5], { id: 'c', delay: 100 });
    const consumer = t.addConsumer(queue, {}, acking);
    await t.receivesExactly(consumer, [3, 5]);
    await t.publish(queue, [6], { id: 'c', delay: 1 });
    await t.publish(queue, [7]);
    await t.receivesExactly(consumer, [3, 5, 7]);
    await t.counts(queue, { ready: 0, unfinished: 1 });
  }),

  rule(
    15,
    'a delayed message and a message without a delay are duplicates of each other',
    { dedupe: true, dedupeDelayed: true },
    async (t) => {
      const queue = await t.open();
      await t.publish(queue, [1], { id: 'a', delay: HOUR });
      await t.publish(queue, [2], { id: 'a' });
      await t.counts(queue, { ready: 0, unfinished: 1 });
      await t.publish(queue, [3], { id: 'b' });
      await t.publish(queue, [4], { id: 'b', delay: HOUR });
      await t.publish(queue, [5], { id: 'c', delay: 50 });
      const consumer = t.addConsumer(queue, {}, acking);
      await t.receivesExactly(consumer, [3, 5]);
      await t.publish(queue, [6], { id: 'c' });
      await t.publish(queue, [7]);
      await t.receivesExactly(consumer, [3, 5, 7]);
      await t.counts(queue, { ready: 0, unfinished: 1 });
    },
  ),

  rule(15, 'an id that a refused publish named can be published', { dedupe: true }, async (t) => {
    const queue = await t.open();
    const { signal } = new AbortController();
    await rejectionOf('publish() of an invalid payload', queue.publish('number', [] as object, { id: 'a', signal }));
    await rejectionOf('publish() of an invalid key', queue.publish('', { n: 0 }, { id: 'a' }));
    const aborted = queue.publish('number', { n: 0 }, { id: 'a', signal: AbortSignal.abort() });
    await rejectionOf('publish() with an aborted signal', aborted);
    await t.publish(queue, [1], { id: 'a' });
    await t.publish(queue, [2], { id: 'a' });
    await t.publish(queue, [3]);
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [1, 3]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(15, 'queues deduplicate each on its own', { dedupe: true }, async (t) => {
    const queues = [await t.open(), await t.open()] as const;
    for (const queue of queues) await t.publish(queue, [1], { id: 'a' });
    for (const queue of queues) {
      await t.publish(queue, [2], { id: 'a' });
      await t.publish(queue, [3]);
      await t.receivesExactly(t.addConsumer(queue, {}, acking), [1, 3]);
    }
  }),

  rule(
    15,
    'a duplicate reaches no group, whichever group has settled the message',
    { dedupe: true, groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      await t.publish(queue, [1], { id: 'a' });
      const billing = t.addConsumer(queue, BILLING, acking);
      await t.receivesExactly(billing, [1]);
      await t.counts(queue, { ready: 0, unfinished: 0 }, 'billing');
      await t.publish(queue, [2], { id: 'a' });
      await t.publish(queue, [3]);
      await t.receivesExactly(billing, [1, 3]);
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [1, 3]);
      await t.publish(queue, [4], { id: 'a' });
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(
    15,
    'an id belongs to the queue: a publish for one group and a publish for all deduplicate each other',
    { dedupe: true, groups: 'separate' },
    async (t) => {
      const queue = await t.open({ groups: GROUPS });
      await t.publish(queue, [1], { id: 'a', ...BILLING });
      await t.publish(queue, [2], { id: 'a', ...AUDIT });
      await t.publish(queue, [3], { id: 'a' });
      await t.publish(queue, [4], { id: 'b' });
      await t.publish(queue, [5], { id: 'b', ...AUDIT });
      await t.publish(queue, [6]);
      await t.receivesExactly(t.addConsumer(queue, BILLING, acking), [1, 4, 6]);
      await t.receivesExactly(t.addConsumer(queue, AUDIT, acking), [4, 6]);
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(15, 'two backends of one queue deduplicate together', { dedupe: true, shared: true }, async (t) => {
    const name = t.newName();
    const backends = [await t.open({ name }), await t.open({ name })] as const;
    const [first, second] = backends;
    await t.publish(first, [1], { id: 'a' });
    await t.publish(second, [2], { id: 'a' });
    await t.publish(second, [3], { id: 'b' });
    await t.publish(first, [4], { id: 'b' });
    await Promise.all(backends.map((backend) => t.publish(backend, [5], { id: 'c' })));
    await t.publish(first, [6]);
    await t.receivesExactly(t.addConsumer(second, {}, acking), [1, 3, 5, 6]);
    await t.counts(first, { ready: 0, unfinished: 0 });
  }),

  rule(15, 'an id is a duplicate after its publisher was closed', { dedupe: true, shared: true }, async (t) => {
    const name = t.newName();
    const first = await t.open({ name });
    await t.publish(first, [1], { id: 'a' });
    await t.publish(first, [2], { id: 'b', delay: HOUR });
    await t.within('close() to resolve', first.close());
    const second = await t.open({ name });
    await t.publish(second, [3], { id: 'a' });
    await t.publish(second, [4], { id: 'b', delay: HOUR });
    await t.publish(second, [5]);
    await t.receivesExactly(t.addConsumer(second, {}, acking), [1, 5]);
    await t.counts(second, { ready: 0, unfinished: 1 });
  }),

  rule(
    15,
    'an id of a delayed message is a duplicate after its publisher was closed, also without a delay',
    { dedupe: true, dedupeDelayed: true, shared: true },
    async (t) => {
      const name = t.newName();
      const first = await t.open({ name });
      await t.publish(first, [1], { id: 'a', delay: HOUR });
      await t.within('close() to resolve', first.close());
      const second = await t.open({ name });
      await t.publish(second, [2], { id: 'a' });
      await t.publish(second, [3]);
      await t.receivesExactly(t.addConsumer(second, {}, acking), [3]);
      await t.counts(second, { ready: 0, unfinished: 1 });
    },
  ),

  rule(
    15,
    'a publish that is repeated after a lost connection is stored once',
    { dedupe: true, disconnect: true },
    async (t) => {
      const queue = await t.open();
      const count = t.scaled(300);
      const numbers = upTo(count);
      let disturbed = Promise.resolve();
      for (const n of numbers) {
        if (n % 100 === 50) disturbed = Promise.resolve(t.capabilities.disconnect?.(queue));
        await publishUntilConfirmed(t, queue, n);
        await publishUntilConfirmed(t, queue, n);
      }
      await t.within('disconnect() to resolve', disturbed);
      await t.counts(queue, { ready: count, unfinished: count });
      const got = new Set<number>();
      const consumer = t.addConsumer(queue, {}, (delivery) => {
        got.add(numberOf(delivery.payload));
        return delivery.ack();
      });
      await t.until(
        () => `all of ${count} messages, got ${got.size}`,
        () => got.size === count,
        () => got.size,
      );
      await t.counts(queue, { ready: 0, unfinished: 0 });
      assert.equal(new Set(consumer.deliveries.map(({ id }) => id)).size, count);
    },
  ),
];
