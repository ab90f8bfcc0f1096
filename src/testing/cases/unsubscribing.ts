import assert from 'node:assert/strict';
import { map, take } from 'rxjs';
import { type CaseContext, rejectionOf, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, numberOf } from '../test-consumer.js';

/**
 * Unsubscribes after one of five messages was emitted and others were prefetched. Resolves to the
 * next attempts.
 */
async function attemptsAfterOne(t: CaseContext): Promise<[first: number, ...others: number[]]> {
  const queue = await t.open();
  await t.publish(queue, upTo(5));
  let seen = 0;
  queue
    .deliveries({ prefetch: 4 })
    .pipe(take(1))
    .subscribe(() => seen++);
  await t.until('a delivery', () => seen === 1);
  await t.counts(queue, { ready: 5, unfinished: 5 });
  const consumer = t.addConsumer(queue);
  await t.receivesExactly(consumer, upTo(5));
  const attempts = consumer.deliveries.map(({ attempt }) => attempt);
  return attempts as [number, ...number[]];
}

/** Rule 9: unsubscribing requeues unsettled deliveries. */
export const unsubscribing: readonly Definition[] = [
  rule(9, 'unsubscribing requeues unsettled deliveries at once, with a higher attempt', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
    const first = t.addConsumer(queue, { prefetch: 4 });
    await t.receivesExactly(first, upTo(4));
    await t.settle([first.of(2)]);
    await t.receives(first, 5);
    first.unsubscribe();
    await t.counts(queue, { ready: 5, unfinished: 5 });
    const second = t.addConsumer(queue, { prefetch: 10 });
    await t.receivesExactly(second, [1, 3, 4, 5, 6]);
    for (const n of [1, 3, 4, 5]) t.isAttempt(second.of(n), 2);
    t.isAttempt(second.of(6), 1);
    await t.settle(second.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(9, 'unsettled deliveries of a consumer that unsubscribed go to a waiting consumer', async (t) => {
    const queue = await t.open();
    const first = t.addConsumer(queue, { prefetch: 3 });
    await t.publish(queue, [1, 2, 3]);
    await t.receivesExactly(first, [1, 2, 3]);
    const second = t.addConsumer(queue);
    first.unsubscribe();
    await t.receivesExactly(second, [1, 2, 3]);
    await t.settle(second.inFlight);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(9, 'an emitted delivery counts as an attempt when its consumer unsubscribes', async (t) => {
    const [first] = await attemptsAfterOne(t);
    assert.ok(first >= 2, `Expected attempt 2 of a requeued delivery, got ${first}`);
  }),

  rule(9, 'a prefetched delivery that was never emitted keeps its attempt', { attempt: 'exact' }, async (t) => {
    assert.deepEqual(await attemptsAfterOne(t), [2, 1, 1, 1, 1]);
  }),

  rule(9, 'an error downstream requeues unsettled deliveries', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1, 2, 3]);
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
    await t.until('the error', () => failed !== undefined);
    assert.equal((failed as Error).message, 'downstream');
    await t.counts(queue, { ready: 3, unfinished: 3 });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1, 2, 3]);
    for (const n of [1, 2]) t.isAttempt(consumer.of(n), 2);
  }),

  rule(9, 'unsubscribing inside next requeues that delivery too', async (t) => {
    const queue = await t.open();
    const first = t.addConsumer(queue, { prefetch: 2 }, (_, consumer) => consumer.unsubscribe());
    await t.publish(queue, [1, 2, 3]);
    await t.receives(first, 1);
    await t.counts(queue, { ready: 3, unfinished: 3 });
    const second = t.addConsumer(queue);
    await t.receivesExactly(second, [1, 2, 3]);
    assert.deepEqual(first.numbers, [1]);
    t.isAttempt(second.of(1), 2);
  }),

  rule(
    9,
    'a delivery released before its consumer unsubscribed keeps its attempt',
    { release: 'uncounted', attempt: 'exact' },
    async (t) => {
      const queue = await t.open();
      await t.publish(queue, [1, 2]);
      const first = t.addConsumer(queue, { prefetch: 2 });
      await t.receivesExactly(first, [1, 2]);
      const released = first.of(1).release();
      first.unsubscribe();
      assert.equal(await t.within('release() to resolve', released), true);
      await t.counts(queue, { ready: 2, unfinished: 2 });
      const second = t.addConsumer(queue);
      await t.receivesExactly(second, [1, 2]);
      assert.deepEqual(
        second.deliveries.map(({ attempt }) => attempt),
        [1, 2],
      );
    },
  ),

  rule(9, 'break and throw in a loop over deliveries() requeue its message', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
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
    assert.deepEqual(await t.within('the loop to end', leave('break')), [1, 2]);
    await t.counts(queue, { ready: 5, unfinished: 5 });
    const error = await t.within('the loop to end', rejectionOf('a loop whose body throws', leave('throw')));
    assert.equal((error as Error).message, 'in the body');
    await t.counts(queue, { ready: 4, unfinished: 4 });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [3, 4, 5, 6]);
    t.isAttempt(consumer.of(3), 2);
  }),

  rule(9, 'a stream can be subscribed to again', async (t) => {
    const queue = await t.open();
    const stream = queue.deliveries({ prefetch: 2 });
    await t.publish(queue, [1, 2, 3]);
    for (const attempt of [1, 2, 3]) {
      const consumer = t.subscribe(stream);
      await t.receivesExactly(consumer, [1, 2]);
      t.isAttempt(consumer.of(1), attempt);
      consumer.unsubscribe();
      await t.counts(queue, { ready: 3, unfinished: 3 });
    }
    await t.receivesExactly(t.subscribe(stream, acking), [1, 2, 3]);
  }),

  rule(9, 'no message is lost or duplicated while consumers join and leave', async (t) => {
    const queue = await t.open();
    const done: number[] = [];
    for (const n of upTo(20)) {
      const consumer = t.addConsumer(queue, { prefetch: 2 }, async (delivery) => {
        if (await delivery.ack()) done.push(numberOf(delivery.payload));
      });
      const published = t.publish(queue, [n]);
      if (n % 2 === 0) consumer.unsubscribe();
      await published;
      consumer.unsubscribe();
    }
    t.addConsumer(queue, {}, async (delivery) => {
      if (await delivery.ack()) done.push(numberOf(delivery.payload));
    });
    await t.until(
      () => `20 messages, got ${done.join(' ')}`,
      () => done.length >= 20,
      () => done.length,
    );
    await t.counts(queue, { ready: 0, unfinished: 0 });
    assert.deepEqual(
      done.toSorted((a, b) => a - b),
      upTo(20),
    );
  }),
];
