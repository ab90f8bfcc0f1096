import assert from 'node:assert/strict';
import { upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, numberOf } from '../test-consumer.js';

/** Rule 8: an abort stops the intake. */
export const aborting: readonly Definition[] = [
  rule(8, 'an abort stops the intake; the stream completes when the last delivery in flight is settled', async (t) => {
    const queue = await t.open();
    const controller = new AbortController();
    const consumer = t.addConsumer(queue, { prefetch: 2, signal: controller.signal });
    await t.publish(queue, upTo(5));
    await t.receivesExactly(consumer, [1, 2]);
    controller.abort();
    await t.settle([consumer.of(1)]);
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [3, 4, 5]);
    assert.deepEqual([consumer.numbers, consumer.completed], [[1, 2], false]);
    await t.settle([consumer.of(2)]);
    await t.until('the stream to complete', () => consumer.completed);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(8, 'an abort with nothing in flight completes the stream, which takes nothing more', async (t) => {
    const queue = await t.open();
    const controller = new AbortController();
    const consumer = t.addConsumer(queue, { signal: controller.signal });
    await t.publish(queue, [1]);
    await t.receivesExactly(consumer, [1]);
    await t.settle(consumer.inFlight);
    controller.abort('off');
    await t.until('the stream to complete', () => consumer.completed);
    await t.publish(queue, [2]);
    await t.receivesExactly(t.addConsumer(queue), [2]);
    assert.deepEqual(consumer.numbers, [1]);
  }),

  rule(8, 'deliveries in flight at an abort can be nacked, released and requeued by unsubscribing', async (t) => {
    const queue = await t.open();
    const controller = new AbortController();
    const consumer = t.addConsumer(queue, { prefetch: 3, signal: controller.signal });
    await t.publish(queue, upTo(4));
    await t.receivesExactly(consumer, [1, 2, 3]);
    controller.abort();
    await t.settle([consumer.of(1)], 'release');
    await t.settle([consumer.of(2)], 'nack');
    consumer.unsubscribe();
    await t.counts(queue, { ready: 4, unfinished: 4 });
    const next = t.addConsumer(queue);
    await t.receivesExactly(next, upTo(4));
    for (const n of [2, 3]) t.isAttempt(next.of(n), 2);
    assert.deepEqual(consumer.numbers, [1, 2, 3]);
  }),

  rule(8, 'an already aborted signal gives an empty stream, which takes nothing', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1]);
    const signal = AbortSignal.abort('off');
    const consumer = t.addConsumer(queue, { signal });
    const ends = [t.consume(queue, { signal }).next(), t.iterate(queue, { signal }).next()];
    await t.until('the stream to complete', () => consumer.completed);
    for (const { done } of await t.within('next() to resolve', Promise.all(ends))) assert.equal(done, true);
    await t.counts(queue, { ready: 1, unfinished: 1 });
    const next = t.addConsumer(queue);
    await t.receivesExactly(next, [1]);
    t.isAttempt(next.of(1), 1);
    assert.deepEqual(consumer.numbers, []);
  }),

  rule(
    8,
    'an abort ends a waiting next() without an error, and the next message goes to another consumer',
    async (t) => {
      const queue = await t.open();
      const controller = new AbortController();
      const { signal } = controller;
      const pending = [
        t.consume(queue, { signal }).next(),
        t.iterate(queue, { signal }).next(),
        t.consume(queue, { signal, prefetch: 4 }).next(),
      ];
      await t.counts(queue, { ready: 0 });
      controller.abort(new Error('off'));
      for (const { done } of await t.within('next() to resolve', Promise.all(pending))) assert.equal(done, true);
      await t.publish(queue, [1]);
      const next = t.addConsumer(queue);
      await t.receivesExactly(next, [1]);
      t.isAttempt(next.of(1), 1);
    },
  ),

  rule(8, 'an abort in the same turn as a message neither loses nor duplicates it', async (t) => {
    const queue = await t.open();
    const got: number[] = [];
    for (const n of upTo(10)) {
      const controller = new AbortController();
      const next = t.consume(queue, { signal: controller.signal }).next();
      const published = t.publish(queue, [n]);
      controller.abort();
      const { done, value } = await t.within('next() to resolve', next);
      if (!done) got.push(numberOf(value));
      await published;
    }
    // Each iterator keeps its message in flight until its `return()`. All other messages are in the
    // queue.
    const left = upTo(10).filter((n) => !got.includes(n));
    const consumer = t.addConsumer(queue, { prefetch: 20 });
    await t.publish(queue, [11]);
    await t.until(
      () => `${left.length} remaining messages and the last one, got ${consumer.numbers.join(' ')}`,
      () => consumer.numbers.includes(11) && left.every((n) => consumer.numbers.includes(n)),
    );
    assert.deepEqual(
      consumer.numbers.toSorted((a, b) => a - b),
      [...left, 11],
    );
  }),

  rule(8, 'an abort lets the body of a loop finish; prefetched messages are released', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(5));
    const controller = new AbortController();
    const seen: number[] = [];
    const loop = async () => {
      for await (const delivery of queue.deliveries({ prefetch: 3, signal: controller.signal })) {
        seen.push(numberOf(delivery.payload));
        if (seen.length < 2) continue;
        controller.abort();
        await t.counts(queue, { ready: 3, unfinished: 4 });
        assert.equal(delivery.settled, false);
      }
    };
    await t.within('the loop to end', loop());
    assert.deepEqual(seen, [1, 2]);
    await t.counts(queue, { ready: 3, unfinished: 3 });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [3, 4, 5]);
    if (t.capabilities.release === 'uncounted') for (const delivery of consumer.deliveries) t.isAttempt(delivery, 1);
  }),

  rule(8, 'an abort after the end of a stream changes nothing', async (t) => {
    const queue = await t.open();
    const controller = new AbortController();
    const { signal } = controller;
    const consumer = t.addConsumer(queue, { signal });
    const payloads = t.consume(queue, { signal });
    await t.publish(queue, [1]);
    await t.receives(consumer, 1);
    await t.settle(consumer.inFlight);
    consumer.unsubscribe();
    await t.within('return() to resolve', payloads.return());
    controller.abort();
    assert.equal((await t.within('next() to resolve', payloads.next())).done, true);
    await t.publish(queue, [2]);
    await t.receivesExactly(t.addConsumer(queue), [2]);
  }),
];
