import assert from 'node:assert/strict';
import { upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';

/** Rule 10: nothing happens before the first `next()` or `subscribe()`. */
export const laziness: readonly Definition[] = [
  rule(10, 'a stream without a subscriber takes nothing', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1, 2]);
    const streams = upTo(5).map(() => queue.deliveries({ prefetch: 1 }));
    for (const { subscribe, pipe } of streams)
      assert.ok(typeof subscribe === 'function' && typeof pipe === 'function', 'Expected an Observable');
    await t.publish(queue, [3, 4]);
    await t.counts(queue, { ready: 4, unfinished: 4 });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1, 2, 3, 4]);
    for (const delivery of consumer.deliveries) t.isAttempt(delivery, 1);
  }),

  rule(10, 'an iterator takes nothing before the first next()', async (t) => {
    const queue = await t.open();
    const iterators = upTo(3).flatMap(() => [t.consume(queue), t.iterate(queue)]);
    await t.publish(queue, [1, 2]);
    await t.counts(queue, { ready: 2, unfinished: 2 });
    await t.receivesExactly(t.addConsumer(queue), [1, 2]);
    for (const iterator of iterators) await t.within('return() to resolve', iterator.return());
  }),

  rule(10, 'return() before the first next() ends an iterator, which took nothing', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1]);
    for (const iterator of [t.consume(queue), t.iterate(queue)]) {
      assert.deepEqual(await t.within('return() to resolve', iterator.return()), { done: true, value: undefined });
      assert.deepEqual(await t.within('next() to resolve', iterator.next()), { done: true, value: undefined });
    }
    await t.counts(queue, { ready: 1, unfinished: 1 });
  }),

  rule(10, 'a loop takes nothing beyond its prefetch, which is 1 by default', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
    for (const [index, iterator] of [t.iterate(queue), t.consume(queue, { prefetch: 1 })].entries()) {
      await t.within('next() to resolve', iterator.next());
      await t.counts(queue, { ready: 5 - index, unfinished: 6 });
    }
    const two = t.consume(queue, { prefetch: 2 });
    await t.within('next() to resolve', two.next());
    await t.counts(queue, { ready: 2, unfinished: 6 });
  }),
];
