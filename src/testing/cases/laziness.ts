import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { upTo } from '../scene.js';

/** Rule 10. */
export const laziness: readonly Definition[] = [
  rule(10, 'a stream that nobody subscribes to takes nothing', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1, 2]);
    const streams = upTo(5).map(() => queue.deliveries({ prefetch: 1 }));
    for (const { subscribe, pipe } of streams)
      assert.ok(typeof subscribe === 'function' && typeof pipe === 'function', 'Expected an Observable');
    await scene.publish(queue, [3, 4]);
    await scene.counts(queue, { ready: 4, unfinished: 4 });
    const taker = scene.take(queue);
    await scene.gets(taker, [1, 2, 3, 4]);
    for (const delivery of taker.deliveries) scene.isAttempt(delivery, 1);
  }),

  rule(10, 'an iterator takes nothing before the first next()', async (scene) => {
    const queue = await scene.open();
    const iterators = upTo(3).flatMap(() => [scene.consume(queue), scene.iterate(queue)]);
    await scene.publish(queue, [1, 2]);
    await scene.counts(queue, { ready: 2, unfinished: 2 });
    await scene.gets(scene.take(queue), [1, 2]);
    for (const iterator of iterators) await scene.within('return() to resolve', iterator.return());
  }),

  rule(10, 'an iterator that is returned from before the first next() is over, and took nothing', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1]);
    for (const iterator of [scene.consume(queue), scene.iterate(queue)]) {
      assert.deepEqual(await scene.within('return() to resolve', iterator.return()), { done: true, value: undefined });
      assert.deepEqual(await scene.within('next() to resolve', iterator.next()), { done: true, value: undefined });
    }
    await scene.counts(queue, { ready: 1, unfinished: 1 });
  }),

  rule(10, 'a loop takes nothing beyond its prefetch, which is 1 unless it says otherwise', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(6));
    for (const [index, iterator] of [scene.iterate(queue), scene.consume(queue, { prefetch: 1 })].entries()) {
      await scene.within('next() to resolve', iterator.next());
      await scene.counts(queue, { ready: 5 - index, unfinished: 6 });
    }
    const two = scene.consume(queue, { prefetch: 2 });
    await scene.within('next() to resolve', two.next());
    await scene.counts(queue, { ready: 2, unfinished: 6 });
  }),
];
