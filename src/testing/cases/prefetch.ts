import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { HOUR, present, type Scene, upTo } from '../scene.js';
import { acking } from '../taker.js';

/** The name of the error that a call throws, or nothing. */
function thrownBy(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return (error as Error).name;
  }
  return undefined;
}

/** Holds all it gets, in a queue of `count` messages: it may have just `prefetch` of them, and another consumer gets the rest. */
async function holdsNoMoreThan(scene: Scene, prefetch: number, count: number): Promise<void> {
  const queue = await scene.open();
  const holder = scene.take(queue, { prefetch });
  await scene.publish(queue, upTo(count));
  await scene.got(holder, prefetch);
  const others = scene.take(queue, { prefetch: 1 }, acking);
  await scene.got([holder, others], count);
  assert.equal(
    holder.deliveries.length,
    prefetch,
    `Expected a subscriber with a prefetch of ${prefetch} to hold no more`,
  );
  await scene.gets(others, upTo(count).slice(prefetch));
}

/** Rule 7. */
export const prefetch: readonly Definition[] = [
  ...[1, 3].map((limit) =>
    rule(7, `a subscriber with a prefetch of ${limit} holds no more, and others get the rest`, (scene) =>
      holdsNoMoreThan(scene, limit, 10),
    ),
  ),

  rule(7, 'the prefetch of a subscriber that names none is 32', async (scene) => {
    const queue = await scene.open();
    assert.equal(queue.deliveries().prefetch, 32);
    assert.equal(queue.deliveries({ prefetch: 5 }).prefetch, 5);
    const holder = scene.take(queue);
    await scene.publish(queue, upTo(40));
    await scene.got(holder, 32);
    await scene.gets(scene.take(queue, { prefetch: 1 }, acking), upTo(40).slice(32));
    assert.equal(holder.deliveries.length, 32);
  }),

  rule(7, 'it is kept whatever the settling order, and no credit is lost', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(60));
    // A fixed sequence that looks like chance: always another one of those that are out.
    let seed = 1;
    const holder = scene.take(queue, { prefetch: 5 });
    for (let done = 0; done < 60; done++) {
      await scene.got(holder, Math.min(60, done + 5));
      const { held } = holder;
      assert.ok(held.length <= 5, `Expected at most 5 deliveries out, got ${held.length}`);
      seed = (seed * 16_807) % 2_147_483_647;
      await scene.settle([present(held[seed % held.length])], seed % 3 === 0 ? 'reject' : 'ack');
    }
    assert.equal(holder.mostOut, 5);
    assert.deepEqual(
      holder.numbers.toSorted((a, b) => a - b),
      upTo(60),
    );
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(7, 'a second settlement gives no second credit', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(6));
    const holder = scene.take(queue, { prefetch: 2 });
    await scene.gets(holder, [1, 2]);
    const delivery = holder.of(1);
    await scene.settle([delivery]);
    for (const how of ['ack', 'nack', 'release', 'reject'] as const)
      await scene.within(`a later ${how}() to resolve`, delivery[how]());
    await scene.gets(holder, [1, 2, 3]);
    await scene.gets(scene.take(queue, { prefetch: 1 }, acking), [4, 5, 6]);
    assert.deepEqual(holder.numbers, [1, 2, 3]);
  }),

  rule(7, 'every settlement gives its credit back, that of a nack with a delay at once', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(5));
    const taker = scene.take(queue, { prefetch: 1 });
    await scene.gets(taker, [1]);
    await scene.settle(taker.held);
    await scene.gets(taker, [1, 2]);
    await scene.settle(taker.held, 'reject');
    await scene.gets(taker, [1, 2, 3]);
    assert.equal(await scene.within('nack() to resolve', taker.of(3).nack({ delay: HOUR })), true);
    await scene.gets(taker, [1, 2, 3, 4]);
    await scene.settle(taker.held, 'release');
    await scene.gets(taker, [1, 2, 3, 4, 4]);
    await scene.settle(taker.held);
    await scene.gets(taker, [1, 2, 3, 4, 4, 5]);
  }),

  rule(7, 'two subscriptions to one stream have a prefetch each', async (scene) => {
    const queue = await scene.open();
    const stream = queue.deliveries({ prefetch: 2 });
    const holders = [scene.subscribe(stream), scene.subscribe(stream)] as const;
    await scene.publish(queue, upTo(6));
    await scene.got(holders, 4);
    const others = scene.take(queue, { prefetch: 1 }, acking);
    await scene.gets(others, [5, 6]);
    await scene.counts(queue, { ready: 0, unfinished: 4 });
    others.leave();
    for (const holder of holders) assert.equal(holder.deliveries.length, 2);
    holders[0].leave();
    await scene.counts(queue, { ready: 2, unfinished: 4 });
    await scene.settle(holders[1].held);
    await scene.got(holders[1], 4);
  }),

  rule(7, 'options without sense are refused with a TypeError or RangeError', async (scene) => {
    const queue = await scene.open();
    const bad: readonly object[] = [
      { prefetch: 0 },
      { prefetch: 1.5 },
      { prefetch: -1 },
      { prefetch: '2' },
      { prefetch: Number.NaN },
      { group: '' },
      { signal: {} },
    ];
    for (const options of bad) {
      for (const face of ['deliveries', 'consume'] as const) {
        const name = thrownBy(() => queue[face](options));
        assert.ok(
          name === 'TypeError' || name === 'RangeError',
          `Expected ${face}(${JSON.stringify(options)}) to throw a TypeError or RangeError, got ${name}`,
        );
      }
    }
  }),
];
