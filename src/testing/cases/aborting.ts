import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { upTo } from '../scene.js';
import { acking, numberOf } from '../taker.js';

/** Rule 8. */
export const aborting: readonly Definition[] = [
  rule(
    8,
    'an abort stops the intake, what is out can be settled, and the stream completes when the last of it is',
    async (scene) => {
      const queue = await scene.open();
      const controller = new AbortController();
      const taker = scene.take(queue, { prefetch: 2, signal: controller.signal });
      await scene.publish(queue, upTo(5));
      await scene.gets(taker, [1, 2]);
      controller.abort();
      await scene.settle([taker.of(1)]);
      await scene.gets(scene.take(queue, {}, acking), [3, 4, 5]);
      assert.deepEqual([taker.numbers, taker.completed], [[1, 2], false]);
      await scene.settle([taker.of(2)]);
      await scene.until('the stream to complete', () => taker.completed);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(8, 'an abort while nothing is out completes the stream, and takes nothing', async (scene) => {
    const queue = await scene.open();
    const controller = new AbortController();
    const taker = scene.take(queue, { signal: controller.signal });
    await scene.publish(queue, [1]);
    await scene.gets(taker, [1]);
    await scene.settle(taker.held);
    controller.abort('off');
    await scene.until('the stream to complete', () => taker.completed);
    await scene.publish(queue, [2]);
    await scene.gets(scene.take(queue), [2]);
    assert.deepEqual(taker.numbers, [1]);
  }),

  rule(8, 'what is out when the signal aborts can be nacked, released and given back too', async (scene) => {
    const queue = await scene.open();
    const controller = new AbortController();
    const taker = scene.take(queue, { prefetch: 3, signal: controller.signal });
    await scene.publish(queue, upTo(4));
    await scene.gets(taker, [1, 2, 3]);
    controller.abort();
    await scene.settle([taker.of(1)], 'release');
    await scene.settle([taker.of(2)], 'nack');
    taker.leave();
    await scene.counts(queue, { ready: 4, unfinished: 4 });
    const next = scene.take(queue);
    await scene.gets(next, upTo(4));
    for (const n of [2, 3]) scene.isAttempt(next.of(n), 2);
    assert.deepEqual(taker.numbers, [1, 2, 3]);
  }),

  rule(8, 'a signal that was aborted before gives an empty stream, and takes nothing', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1]);
    const signal = AbortSignal.abort('off');
    const taker = scene.take(queue, { signal });
    const ends = [scene.consume(queue, { signal }).next(), scene.iterate(queue, { signal }).next()];
    await scene.until('the stream to complete', () => taker.completed);
    for (const { done } of await scene.within('next() to resolve', Promise.all(ends))) assert.equal(done, true);
    await scene.counts(queue, { ready: 1, unfinished: 1 });
    const next = scene.take(queue);
    await scene.gets(next, [1]);
    scene.isAttempt(next.of(1), 1);
    assert.deepEqual(taker.numbers, []);
  }),

  rule(
    8,
    'an abort ends a next() that waits, without an error, and the next message goes to another consumer',
    async (scene) => {
      const queue = await scene.open();
      const controller = new AbortController();
      const { signal } = controller;
      const pending = [
        scene.consume(queue, { signal }).next(),
        scene.iterate(queue, { signal }).next(),
        scene.consume(queue, { signal, prefetch: 4 }).next(),
      ];
      await scene.counts(queue, { ready: 0 });
      controller.abort(new Error('off'));
      for (const { done } of await scene.within('next() to resolve', Promise.all(pending))) assert.equal(done, true);
      await scene.publish(queue, [1]);
      const next = scene.take(queue);
      await scene.gets(next, [1]);
      scene.isAttempt(next.of(1), 1);
    },
  ),

  rule(8, 'an abort in the turn of a message neither loses nor doubles it', async (scene) => {
    const queue = await scene.open();
    const got: number[] = [];
    for (const n of upTo(10)) {
      const controller = new AbortController();
      const next = scene.consume(queue, { signal: controller.signal }).next();
      const published = scene.publish(queue, [n]);
      controller.abort();
      const { done, value } = await scene.within('next() to resolve', next);
      if (!done) got.push(numberOf(value));
      await published;
    }
    // What an iterator got is in its hands until it is returned from; everything else is still in the queue.
    const left = upTo(10).filter((n) => !got.includes(n));
    const taker = scene.take(queue, { prefetch: 20 });
    await scene.publish(queue, [11]);
    await scene.until(
      () => `${left.length} messages that nobody got, and the one after them; got ${taker.numbers.join(' ')}`,
      () => taker.numbers.includes(11) && left.every((n) => taker.numbers.includes(n)),
    );
    assert.deepEqual(
      taker.numbers.toSorted((a, b) => a - b),
      [...left, 11],
    );
  }),

  rule(
    8,
    'an abort lets the body of a loop finish, then the loop ends; what it never saw goes back untouched',
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, upTo(5));
      const controller = new AbortController();
      const seen: number[] = [];
      const loop = async () => {
        for await (const delivery of queue.deliveries({ prefetch: 3, signal: controller.signal })) {
          seen.push(numberOf(delivery.payload));
          if (seen.length < 2) continue;
          controller.abort();
          await scene.counts(queue, { ready: 3, unfinished: 4 });
          assert.equal(delivery.settled, false);
        }
      };
      await scene.within('the loop to end', loop());
      assert.deepEqual(seen, [1, 2]);
      await scene.counts(queue, { ready: 3, unfinished: 3 });
      const taker = scene.take(queue);
      await scene.gets(taker, [3, 4, 5]);
      if (scene.capabilities.release === 'uncounted')
        for (const delivery of taker.deliveries) scene.isAttempt(delivery, 1);
    },
  ),

  rule(8, 'an abort after the end changes nothing', async (scene) => {
    const queue = await scene.open();
    const controller = new AbortController();
    const { signal } = controller;
    const taker = scene.take(queue, { signal });
    const payloads = scene.consume(queue, { signal });
    await scene.publish(queue, [1]);
    await scene.got(taker, 1);
    await scene.settle(taker.held);
    taker.leave();
    await scene.within('return() to resolve', payloads.return());
    controller.abort();
    assert.equal((await scene.within('next() to resolve', payloads.next())).done, true);
    await scene.publish(queue, [2]);
    await scene.gets(scene.take(queue), [2]);
  }),
];
