import assert from 'node:assert/strict';
import { QueueClosedError, SluiceError } from '../../errors.js';
import { type Definition, rule } from '../definition.js';
import { ResourceWatch } from '../resources.js';
import { HOUR, rejectionOf, upTo } from '../scene.js';
import { acking, numberOf } from '../taker.js';

/** Rule 11. */
export const closing: readonly Definition[] = [
  rule(11, 'ten calls of close() at once, and one more, all resolve', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1]);
    await scene.within('ten calls of close() to resolve', Promise.all(upTo(10).map(() => queue.close())));
    await scene.within('close() to resolve', queue.close());
    await scene.within('[Symbol.asyncDispose]() to resolve', Promise.resolve(queue[Symbol.asyncDispose]()));
  }),

  rule(11, 'close() waits for nobody: not for a delivery that is out, not for a next() that waits', async (scene) => {
    const queue = await scene.open();
    const holder = scene.take(queue);
    await scene.publish(queue, [1]);
    await scene.gets(holder, [1]);
    const payloads = scene.consume(queue);
    const pending = payloads.next();
    await scene.within('close() to resolve', queue.close());
    holder.leave();
    // Where streams are drained it may get what the holder left behind. Then it is over.
    const { done } = await scene.within('next() that waited to resolve', pending);
    if (!done) assert.equal((await scene.within('next() to resolve', payloads.next())).done, true);
  }),

  rule(11, 'after close(), publish() rejects with QueueClosedError', async (scene) => {
    const queue = await scene.open();
    await scene.within('close() to resolve', queue.close());
    for (const options of [undefined, { delay: 10 }, { headers: { a: 'b' } }]) {
      const error = await scene.within(
        'publish() to reject',
        rejectionOf('publish() after close()', queue.publish('number', { n: 1 }, options)),
      );
      assert.ok(
        QueueClosedError.is(error) && SluiceError.is(error),
        `Expected a QueueClosedError, got ${String(error)}`,
      );
    }
  }),

  rule(11, 'after [Symbol.asyncDispose](), publish() rejects with QueueClosedError', async (scene) => {
    const queue = await scene.open();
    await scene.within('[Symbol.asyncDispose]() to resolve', Promise.resolve(queue[Symbol.asyncDispose]()));
    const error = await scene.within(
      'publish() to reject',
      rejectionOf('publish() after the end', queue.publish('number', { n: 1 })),
    );
    assert.ok(QueueClosedError.is(error), `Expected a QueueClosedError, got ${String(error)}`);
  }),

  rule(11, 'streams of a closed queue end, those that were there and those that come later', async (scene) => {
    const queue = await scene.open();
    const before = scene.take(queue, {}, acking);
    const waiting = [scene.consume(queue).next(), scene.iterate(queue).next()];
    await scene.within('close() to resolve', queue.close());
    const after = scene.take(queue, {}, acking);
    const later = [scene.consume(queue).next(), scene.iterate(queue).next()];
    await scene.until('the streams to complete', () => before.completed && after.completed);
    for (const { done } of await scene.within('next() to resolve', Promise.all([...waiting, ...later])))
      assert.equal(done, true);
    assert.deepEqual([...before.numbers, ...after.numbers], []);
  }),

  rule(
    11,
    'streams end at once, though something is out; what is settled then is settled or not, and says so',
    { close: 'at once' },
    async (scene) => {
      const queue = await scene.open();
      const taker = scene.take(queue, { prefetch: 2 });
      await scene.publish(queue, [1, 2, 3]);
      await scene.gets(taker, [1, 2]);
      const closed = queue.close();
      await scene.until('the stream to complete', () => taker.completed);
      await scene.within('close() to resolve', closed);
      assert.deepEqual(taker.numbers, [1, 2]);
      for (const delivery of taker.deliveries) {
        assert.equal(
          await scene.within('ack() to resolve', delivery.ack()),
          false,
          'Expected ack() after close() to resolve to false',
        );
      }
    },
  ),

  rule(
    11,
    'streams end when they are drained: what waits, what is delayed and what is out is still served',
    { close: 'drained' },
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2, 3]);
      await scene.publish(queue, [4], { delay: 100 });
      const holder = scene.take(queue, { prefetch: 1 });
      await scene.gets(holder, [1]);
      await scene.within('close() to resolve', queue.close());
      const numbers: number[] = [];
      for (const how of ['nack', 'ack', 'ack', 'ack', 'ack'] as const) {
        await scene.got(holder, numbers.length + 1);
        numbers.push(numberOf(holder.deliveries.at(-1)?.payload));
        assert.equal(holder.completed, false);
        await scene.settle(holder.held, how);
      }
      await scene.until('the stream to complete', () => holder.completed);
      assert.deepEqual(numbers, [1, 1, 2, 3, 4]);
    },
  ),

  rule(
    11,
    'what was not settled at close() is safe, and what was is gone',
    { shared: true, close: 'at once' },
    async (scene) => {
      const name = scene.newName();
      const first = await scene.open({ name });
      const second = await scene.open({ name });
      const holder = scene.take(first, { prefetch: 2 });
      await scene.publish(first, [1, 2, 3]);
      await scene.gets(holder, [1, 2]);
      await scene.settle([holder.of(1)]);
      await scene.got(holder, 3);
      const waiting = scene.take(second);
      await scene.within('close() to resolve', first.close());
      await scene.gets(waiting, [2, 3]);
      await scene.publish(second, [4]);
      await scene.gets(waiting, [2, 3, 4]);
      await scene.settle(waiting.held);
      await scene.counts(second, { ready: 0, unfinished: 0 });
    },
  ),

  rule(11, 'after close() nothing is left that keeps the process alive', async (scene) => {
    const watch = new ResourceWatch();
    scene.atEnd(() => watch.stop());
    await watch.during(async () => {
      const queue = await scene.open();
      const { signal } = new AbortController();
      const taker = scene.take(queue, { prefetch: 2, signal });
      await scene.publish(queue, [1, 2, 3]);
      await scene.gets(taker, [1, 2]);
      await scene.within('nack() to resolve', taker.of(1).nack({ delay: HOUR }));
      await scene.gets(taker, [1, 2, 3]);
      const waiting = scene.consume(queue, { signal });
      const pending = waiting.next();
      // While somebody waits, each of these may set a timer anew.
      await scene.publish(queue, [4, 5], { delay: HOUR });
      for (const n of [6, 7, 8]) await scene.publish(queue, [n], { delay: HOUR - n });
      taker.leave();
      await scene.within('next() to resolve', pending);
      await scene.within('return() to resolve', waiting.return());
      await scene.within('close() to resolve', queue.close());
    });
    await scene.until(
      () => `timers and connections to go; there are ${watch.active.join(', ')}`,
      () => watch.active.length === 0,
    );
  }),
];
