import assert from 'node:assert/strict';
import { map, take } from 'rxjs';
import { type Definition, rule } from '../definition.js';
import { rejectionOf, type Scene, upTo } from '../scene.js';
import { acking, numberOf } from '../taker.js';

/** Five messages of which one was emitted and some may have been prefetched: the consumer leaves with the first one in its hands. */
async function leavesWithOne(scene: Scene): Promise<[first: number, ...others: number[]]> {
  const queue = await scene.open();
  await scene.publish(queue, upTo(5));
  let seen = 0;
  queue
    .deliveries({ prefetch: 4 })
    .pipe(take(1))
    .subscribe(() => seen++);
  await scene.until('a delivery', () => seen === 1);
  await scene.counts(queue, { ready: 5, unfinished: 5 });
  const taker = scene.take(queue);
  await scene.gets(taker, upTo(5));
  const attempts = taker.deliveries.map(({ attempt }) => attempt);
  return attempts as [number, ...number[]];
}

/** Rule 9. */
export const leaving: readonly Definition[] = [
  rule(
    9,
    'unsubscribing gives back at once what is out, with a higher attempt, and nothing that was settled',
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, upTo(6));
      const first = scene.take(queue, { prefetch: 4 });
      await scene.gets(first, upTo(4));
      await scene.settle([first.of(2)]);
      await scene.got(first, 5);
      first.leave();
      await scene.counts(queue, { ready: 5, unfinished: 5 });
      const second = scene.take(queue, { prefetch: 10 });
      await scene.gets(second, [1, 3, 4, 5, 6]);
      for (const n of [1, 3, 4, 5]) scene.isAttempt(second.of(n), 2);
      scene.isAttempt(second.of(6), 1);
      await scene.settle(second.held);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  rule(9, 'what a consumer leaves behind goes to one that waits', async (scene) => {
    const queue = await scene.open();
    const first = scene.take(queue, { prefetch: 3 });
    await scene.publish(queue, [1, 2, 3]);
    await scene.gets(first, [1, 2, 3]);
    const second = scene.take(queue);
    first.leave();
    await scene.gets(second, [1, 2, 3]);
    await scene.settle(second.held);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(9, 'what was emitted counts as an attempt when its consumer leaves', async (scene) => {
    const [first] = await leavesWithOne(scene);
    assert.ok(first >= 2, `Expected attempt 2 of what a consumer left behind, got ${first}`);
  }),

  rule(
    9,
    'what was prefetched and never emitted comes with its attempt unchanged',
    { attempt: 'exact' },
    async (scene) => {
      assert.deepEqual(await leavesWithOne(scene), [2, 1, 1, 1, 1]);
    },
  ),

  rule(9, 'an error downstream gives back what is out', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1, 2, 3]);
    let failed: unknown;
    queue
      .deliveries({ prefetch: 2 })
      .pipe(
        map((delivery) => {
          if (numberOf(delivery.payload) === 2) throw new Error('downstream');
        }),
      )
      .subscribe({
        error: (error: unknown) => {
          failed = error;
        },
      });
    await scene.until('the error', () => failed !== undefined);
    assert.equal((failed as Error).message, 'downstream');
    await scene.counts(queue, { ready: 3, unfinished: 3 });
    const taker = scene.take(queue);
    await scene.gets(taker, [1, 2, 3]);
    for (const n of [1, 2]) scene.isAttempt(taker.of(n), 2);
  }),

  rule(9, 'leaving from inside next gives that delivery back too', async (scene) => {
    const queue = await scene.open();
    const first = scene.take(queue, { prefetch: 2 }, (_, taker) => taker.leave());
    await scene.publish(queue, [1, 2, 3]);
    await scene.got(first, 1);
    await scene.counts(queue, { ready: 3, unfinished: 3 });
    const second = scene.take(queue);
    await scene.gets(second, [1, 2, 3]);
    assert.deepEqual(first.numbers, [1]);
    scene.isAttempt(second.of(1), 2);
  }),

  rule(
    9,
    'what was released before the consumer left is not counted',
    { release: 'uncounted', attempt: 'exact' },
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2]);
      const first = scene.take(queue, { prefetch: 2 });
      await scene.gets(first, [1, 2]);
      const released = first.of(1).release();
      first.leave();
      assert.equal(await scene.within('release() to resolve', released), true);
      await scene.counts(queue, { ready: 2, unfinished: 2 });
      const second = scene.take(queue);
      await scene.gets(second, [1, 2]);
      assert.deepEqual(
        second.deliveries.map(({ attempt }) => attempt),
        [1, 2],
      );
    },
  ),

  rule(9, 'break and throw leave a loop over deliveries() without its message being lost', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(6));
    const leave = async (how: 'break' | 'throw') => {
      const seen: number[] = [];
      for await (const { payload } of queue.deliveries({ prefetch: 3 })) {
        seen.push(numberOf(payload));
        if (seen.length < 2) continue;
        if (how === 'break') break;
        throw new Error('in the body');
      }
      return seen;
    };
    assert.deepEqual(await scene.within('the loop to end', leave('break')), [1, 2]);
    await scene.counts(queue, { ready: 5, unfinished: 5 });
    const error = await scene.within('the loop to end', rejectionOf('a loop whose body throws', leave('throw')));
    assert.equal((error as Error).message, 'in the body');
    await scene.counts(queue, { ready: 4, unfinished: 4 });
    const taker = scene.take(queue);
    await scene.gets(taker, [3, 4, 5, 6]);
    scene.isAttempt(taker.of(3), 2);
  }),

  rule(9, 'a stream can be subscribed to again', async (scene) => {
    const queue = await scene.open();
    const stream = queue.deliveries({ prefetch: 2 });
    await scene.publish(queue, [1, 2, 3]);
    for (const attempt of [1, 2, 3]) {
      const taker = scene.subscribe(stream);
      await scene.gets(taker, [1, 2]);
      scene.isAttempt(taker.of(1), attempt);
      taker.leave();
      await scene.counts(queue, { ready: 3, unfinished: 3 });
    }
    await scene.gets(scene.subscribe(stream, acking), [1, 2, 3]);
  }),

  rule(9, 'messages that come while consumers come and go are neither lost nor doubled', async (scene) => {
    const queue = await scene.open();
    const done: number[] = [];
    for (const n of upTo(20)) {
      const taker = scene.take(queue, { prefetch: 2 }, async (delivery) => {
        if (await delivery.ack()) done.push(numberOf(delivery.payload));
      });
      const published = scene.publish(queue, [n]);
      if (n % 2 === 0) taker.leave();
      await published;
      taker.leave();
    }
    scene.take(queue, {}, async (delivery) => {
      if (await delivery.ack()) done.push(numberOf(delivery.payload));
    });
    await scene.until(
      () => `20 messages, got ${done.join(' ')}`,
      () => done.length >= 20,
      () => done.length,
    );
    await scene.counts(queue, { ready: 0, unfinished: 0 });
    assert.deepEqual(
      done.toSorted((a, b) => a - b),
      upTo(20),
    );
  }),
];
