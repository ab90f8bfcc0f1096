import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { type CaseContext, turns, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, numberOf, type OnDelivery, type TestConsumer } from '../test-consumer.js';

/** Acks in a later macrotask, so that consumers overlap. */
const working: OnDelivery = async (delivery) => {
  await turns();
  await delivery.ack();
};

/**
 * Waits until the consumers have received all numbers, each exactly once. A last marker arrives
 * after any duplicate.
 */
async function eachOnce(
  t: CaseContext,
  queue: QueueBackend,
  consumers: readonly TestConsumer[],
  count: number,
): Promise<void> {
  await t.receives(consumers, count);
  await t.counts(queue, { unfinished: 0 });
  await t.publish(queue, [count + 1]);
  await t.receives(consumers, count + 1);
  const numbers = consumers.flatMap((consumer) => consumer.numbers).toSorted((a, b) => a - b);
  assert.deepEqual(numbers, upTo(count + 1), 'Expected each message exactly once');
}

/** Rule 1: consumers of a group compete. */
export const competingConsumers: readonly Definition[] = [
  rule(1, 'each message goes to exactly one consumer of a group', async (t) => {
    const queue = await t.open();
    const consumers = upTo(3).map(() => t.addConsumer(queue, { prefetch: 4 }, working));
    await t.publish(queue, upTo(60));
    await eachOnce(t, queue, consumers, 60);
    const ids = consumers.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
    assert.equal(new Set(ids).size, 61, 'Expected a different `id` for each message');
  }),

  rule(1, 'consumers of a group are served in turn', async (t) => {
    const queue = await t.open();
    const consumers = upTo(3).map(() => t.addConsumer(queue, { prefetch: 8 }, acking));
    for (const n of upTo(30)) {
      await t.publish(queue, [n]);
      await t.receives(consumers, n);
    }
    const counts = consumers.map(({ deliveries }) => deliveries.length);
    // A broker may serve one consumer twice in a row. Half of an equal share is the least for each.
    assert.ok(
      Math.min(...counts) >= 5,
      `Expected each of 3 consumers to get at least 5 of 30 messages, got ${counts.join(', ')}`,
    );
  }),

  rule(1, 'a message in flight with one consumer is not delivered to another', async (t) => {
    const queue = await t.open();
    const first = t.addConsumer(queue, { prefetch: 2 });
    await t.publish(queue, [1, 2]);
    await t.receivesExactly(first, [1, 2]);
    const second = t.addConsumer(queue, { prefetch: 8 });
    await t.publish(queue, [3, 4, 5]);
    await t.receivesExactly(second, [3, 4, 5]);
    assert.deepEqual(first.numbers, [1, 2]);
    await t.settle([...first.inFlight, ...second.inFlight]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(1, 'ten concurrent iterators each get a different message', async (t) => {
    const queue = await t.open();
    const calls = upTo(10).map(() => t.consume(queue).next());
    await t.publish(queue, upTo(10));
    const results = await t.within('ten calls of next() to resolve', Promise.all(calls));
    const numbers = results.map(({ value }) => numberOf(value as object)).toSorted((a, b) => a - b);
    assert.deepEqual(numbers, upTo(10));
  }),

  rule(1, 'fifty consumers get thousands of messages, each exactly once', async (t) => {
    const queue = await t.open();
    const consumers = upTo(50).map(() => t.addConsumer(queue, { prefetch: 8 }, acking));
    const count = t.scaled(5000);
    await t.publish(queue, upTo(count));
    await eachOnce(t, queue, consumers, count);
  }),

  rule(1, 'consumers of two backends on one queue compete', { shared: true }, async (t) => {
    const name = t.newName();
    const backends = [await t.open({ name }), await t.open({ name })] as const;
    const consumers = backends.map((backend) => t.addConsumer(backend, { prefetch: 4 }, working));
    await Promise.all([t.publish(backends[0], upTo(30)), t.publish(backends[1], upTo(60).slice(30))]);
    await eachOnce(t, backends[0], consumers, 60);
  }),

  rule(1, 'twenty queues deliver only their own messages', async (t) => {
    const queues = await Promise.all(upTo(20).map(() => t.open()));
    const consumers = queues.map((queue) => t.addConsumer(queue, {}, acking));
    await Promise.all(queues.map((queue, index) => t.publish(queue, [index * 2, index * 2 + 1])));
    for (const [index, consumer] of consumers.entries()) await t.receivesExactly(consumer, [index * 2, index * 2 + 1]);
  }),

  rule(1, 'queues with similar names deliver only their own messages', async (t) => {
    const name = t.newName();
    const names = [
      name,
      `${name}.`,
      `${name}:`,
      `${name}:default`,
      `${name}.default`,
      `${name}-1`,
      `${name}*`,
      `${name}>`,
      `${name} `,
      `{${name}}`,
      `${name}é`,
    ];
    const queues: QueueBackend[] = [];
    for (const similar of names) queues.push(await t.open({ name: similar }));
    for (const [index, queue] of queues.entries()) await t.publish(queue, [index]);
    for (const [index, queue] of queues.entries()) {
      await t.receivesExactly(t.addConsumer(queue, {}, acking), [index]);
      await t.counts(queue, { unfinished: 0 });
    }
  }),
];
