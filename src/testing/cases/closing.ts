import assert from 'node:assert/strict';
import { QueueClosedError, SluiceError } from '../../errors.js';
import { HOUR, rejectionOf, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { ResourceWatch } from '../resources.js';
import { acking, numberOf } from '../test-consumer.js';

/** Rule 11: `close()`. */
export const closing: readonly Definition[] = [
  rule(11, 'close() is idempotent: ten concurrent calls and a later one resolve', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1]);
    await t.within('ten calls of close() to resolve', Promise.all(upTo(10).map(() => queue.close())));
    await t.within('close() to resolve', queue.close());
    await t.within('[Symbol.asyncDispose]() to resolve', Promise.resolve(queue[Symbol.asyncDispose]()));
  }),

  rule(11, 'close() waits neither for a delivery in flight nor for a waiting next()', async (t) => {
    const queue = await t.open();
    const holder = t.addConsumer(queue);
    await t.publish(queue, [1]);
    await t.receivesExactly(holder, [1]);
    const payloads = t.consume(queue);
    const pending = payloads.next();
    await t.within('close() to resolve', queue.close());
    holder.unsubscribe();
    // A draining queue may deliver the message that the holder requeued. Then the iterator is done.
    const { done } = await t.within('the waiting next() to resolve', pending);
    if (!done) assert.equal((await t.within('next() to resolve', payloads.next())).done, true);
  }),

  rule(11, 'after close(), publish() rejects with QueueClosedError', async (t) => {
    const queue = await t.open();
    await t.within('close() to resolve', queue.close());
    for (const options of [undefined, { delay: 10 }, { headers: { a: 'b' } }]) {
      const error = await t.within(
        'publish() to reject',
        rejectionOf('publish() after close()', queue.publish('number', { n: 1 }, options)),
      );
      assert.ok(
        QueueClosedError.is(error) && SluiceError.is(error),
        `Expected a QueueClosedError, got ${String(error)}`,
      );
    }
  }),

  rule(11, 'after [Symbol.asyncDispose](), publish() rejects with QueueClosedError', async (t) => {
    const queue = await t.open();
    await t.within('[Symbol.asyncDispose]() to resolve', Promise.resolve(queue[Symbol.asyncDispose]()));
    const error = await t.within(
      'publish() to reject',
      rejectionOf('publish() after the end', queue.publish('number', { n: 1 })),
    );
    assert.ok(QueueClosedError.is(error), `Expected a QueueClosedError, got ${String(error)}`);
  }),

  rule(11, 'streams of a closed queue end, whether they began before close() or after it', async (t) => {
    const queue = await t.open();
    const before = t.addConsumer(queue, {}, acking);
    const waiting = [t.consume(queue).next(), t.iterate(queue).next()];
    await t.within('close() to resolve', queue.close());
    const after = t.addConsumer(queue, {}, acking);
    const later = [t.consume(queue).next(), t.iterate(queue).next()];
    await t.until('the streams to complete', () => before.completed && after.completed);
    for (const { done } of await t.within('next() to resolve', Promise.all([...waiting, ...later])))
      assert.equal(done, true);
    assert.deepEqual([...before.numbers, ...after.numbers], []);
  }),

  rule(11, 'close() ends streams at once, and later settlements resolve to false', { close: 'at once' }, async (t) => {
    const queue = await t.open();
    const consumer = t.addConsumer(queue, { prefetch: 2 });
    await t.publish(queue, [1, 2, 3]);
    await t.receivesExactly(consumer, [1, 2]);
    const closed = queue.close();
    await t.until('the stream to complete', () => consumer.completed);
    await t.within('close() to resolve', closed);
    assert.deepEqual(consumer.numbers, [1, 2]);
    for (const delivery of consumer.deliveries) {
      assert.equal(
        await t.within('ack() to resolve', delivery.ack()),
        false,
        'Expected ack() after close() to resolve to false',
      );
    }
  }),

  rule(
    11,
    'close() drains streams: waiting, delayed and requeued messages are still delivered',
    { close: 'drained' },
    async (t) => {
      const queue = await t.open();
      await t.publish(queue, [1, 2, 3]);
      await t.publish(queue, [4], { delay: 100 });
      const holder = t.addConsumer(queue, { prefetch: 1 });
      await t.receivesExactly(holder, [1]);
      await t.within('close() to resolve', queue.close());
      const numbers: number[] = [];
      for (const how of ['nack', 'ack', 'ack', 'ack', 'ack'] as const) {
        await t.receives(holder, numbers.length + 1);
        numbers.push(numberOf(holder.deliveries.at(-1)?.payload));
        assert.equal(holder.completed, false);
        await t.settle(holder.inFlight, how);
      }
      await t.until('the stream to complete', () => holder.completed);
      assert.deepEqual(numbers, [1, 1, 2, 3, 4]);
    },
  ),

  rule(
    11,
    'messages that are unsettled at close() are redelivered, settled ones are not',
    { shared: true, close: 'at once' },
    async (t) => {
      const name = t.newName();
      const first = await t.open({ name });
      const second = await t.open({ name });
      const holder = t.addConsumer(first, { prefetch: 2 });
      await t.publish(first, [1, 2, 3]);
      await t.receivesExactly(holder, [1, 2]);
      await t.settle([holder.of(1)]);
      await t.receives(holder, 3);
      const waiting = t.addConsumer(second);
      await t.within('close() to resolve', first.close());
      await t.receivesExactly(waiting, [2, 3]);
      await t.publish(second, [4]);
      await t.receivesExactly(waiting, [2, 3, 4]);
      await t.settle(waiting.inFlight);
      await t.counts(second, { ready: 0, unfinished: 0 });
    },
  ),

  rule(11, 'after close() nothing keeps the process alive', async (t) => {
    const watch = new ResourceWatch();
    t.atEnd(() => watch.stop());
    await watch.during(async () => {
      const queue = await t.open();
      const { signal } = new AbortController();
      const consumer = t.addConsumer(queue, { prefetch: 2, signal });
      await t.publish(queue, [1, 2, 3]);
      await t.receivesExactly(consumer, [1, 2]);
      await t.within('nack() to resolve', consumer.of(1).nack({ delay: HOUR }));
      await t.receivesExactly(consumer, [1, 2, 3]);
      const waiting = t.consume(queue, { signal });
      const pending = waiting.next();
      // While a consumer waits, each publish may set a timer again.
      await t.publish(queue, [4, 5], { delay: HOUR });
      for (const n of [6, 7, 8]) await t.publish(queue, [n], { delay: HOUR - n });
      consumer.unsubscribe();
      await t.within('next() to resolve', pending);
      await t.within('return() to resolve', waiting.return());
      await t.within('close() to resolve', queue.close());
    });
    await t.until(
      () => `timers and connections to be freed: ${watch.active.join(', ')}`,
      () => watch.active.length === 0,
    );
  }),
];
