import assert from 'node:assert/strict';
import type { Delivery, Settlement } from '../../backend.js';
import { type CaseContext, present, rejectionOf, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';

const METHODS = ['ack', 'nack', 'release', 'reject'] as const;
type How = (typeof METHODS)[number];

const SETTLED: Readonly<Record<How, Settlement>> = {
  ack: 'acked',
  nack: 'retried',
  release: 'released',
  reject: 'rejected',
};

/** Reasons of a reject may be of any type. */
const REASONS: readonly unknown[] = [new Error('failed'), 'in words', 5n, null, Symbol('why'), { deep: [() => {}] }];

/** Checks that every late settlement resolves to false and changes nothing. */
async function settlesNoMore(t: CaseContext, delivery: Delivery): Promise<void> {
  const { settled } = delivery;
  for (const how of METHODS) {
    const counted = await t.within(`a later ${how}() to resolve`, delivery[how]());
    assert.equal(
      counted,
      false,
      `Expected ${how}() of a delivery that is ${settled} to resolve to false, got ${String(counted)}`,
    );
  }
  assert.equal(delivery.settled, settled);
}

/** Rule 6: the first settlement wins. */
export const settling: readonly Definition[] = [
  rule(6, 'ack() and reject() end a message; nack() and release() requeue it', async (t) => {
    const queue = await t.open();
    for (const how of METHODS) {
      await t.publish(queue, [1]);
      const consumer = t.addConsumer(queue, { prefetch: 1 });
      await t.receivesExactly(consumer, [1]);
      const delivery = consumer.of(1);
      assert.equal(delivery.settled, false);
      await t.settle([delivery], how);
      assert.equal(delivery.settled, SETTLED[how]);
      const ends = how === 'ack' || how === 'reject';
      if (!ends) await t.receivesExactly(consumer, [1, 1]);
      if (!ends) await t.settle(consumer.inFlight);
      await t.counts(queue, { ready: 0, unfinished: 0 });
      await t.publish(queue, [2]);
      await t.receivesExactly(consumer, ends ? [1, 2] : [1, 1, 2]);
      await t.settle(consumer.inFlight);
      consumer.unsubscribe();
    }
  }),

  ...METHODS.map((how) =>
    rule(6, `a second settlement changes nothing and resolves to false, after ${how}()`, async (t) => {
      const queue = await t.open();
      await t.publish(queue, [1, 2]);
      const first = t.addConsumer(queue, { prefetch: 1 });
      await t.receivesExactly(first, [1]);
      const delivery = first.of(1);
      await t.settle([delivery], how);
      await settlesNoMore(t, delivery);
      const requeued = how === 'nack' || how === 'release';
      await t.receivesExactly(first, requeued ? [1, 1] : [1, 2]);
      // The delivery in flight is another one, also if it is of the same message.
      await settlesNoMore(t, delivery);
      assert.equal(present(first.deliveries[1]).settled, false);
      await t.counts(queue, { ready: requeued ? 1 : 0, unfinished: requeued ? 2 : 1 });
      await t.settle(first.inFlight);
    }),
  ),

  rule(6, 'the first of several concurrent settlements counts', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(4));
    const consumer = t.addConsumer(queue, { prefetch: 4 });
    await t.receivesExactly(consumer, upTo(4));
    for (const [index, how] of METHODS.entries()) {
      const delivery = consumer.of(index + 1);
      const others = METHODS.filter((other) => other !== how);
      const calls = [how, ...others].map((call) => delivery[call]());
      assert.deepEqual(
        await t.within('four settlements to resolve', Promise.all(calls)),
        [true, false, false, false],
        `with ${how}() first`,
      );
      assert.equal(delivery.settled, SETTLED[how]);
    }
    // 2 was nacked and 3 released: both are redelivered.
    await t.receivesExactly(consumer, [1, 2, 3, 4, 2, 3]);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'a settlement after the first logs one warning', { logger: true }, async (t) => {
    const warnings: string[] = [];
    const logger = {
      debug() {},
      warn: (message: string) => void warnings.push(message),
      error: (message: string) => void warnings.push(message),
    };
    const queue = await t.open({ logger });
    const numbers = upTo(METHODS.length + 1);
    await t.publish(queue, numbers);
    const consumer = t.addConsumer(queue, { prefetch: numbers.length });
    await t.receivesExactly(consumer, numbers);
    const deliveries = [...consumer.deliveries];
    for (const [index, how] of METHODS.entries()) await t.settle([consumer.of(index + 1)], how);
    // The last delivery is in flight and is requeued.
    consumer.unsubscribe();
    assert.deepEqual(warnings, []);
    for (const delivery of deliveries) {
      for (const how of METHODS) {
        await t.within(`a late ${how}() to resolve`, delivery[how]());
        await t.until(
          `a warning of a late ${how}() of a delivery that is ${delivery.settled}`,
          () => warnings.length > 0,
        );
        assert.equal(
          warnings.splice(0).length,
          1,
          `Expected one warning of a late ${how}() of a delivery that is ${delivery.settled}`,
        );
      }
    }
  }),

  rule(6, 'reject() accepts any reason, or none', async (t) => {
    const queue = await t.open();
    const numbers = upTo(REASONS.length);
    await t.publish(queue, numbers);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, numbers);
    for (const [index, reason] of REASONS.entries()) {
      const delivery = consumer.of(index + 1);
      const counted = await t.within('reject() to resolve', delivery.reject(reason));
      assert.deepEqual(
        [counted, delivery.settled],
        [true, 'rejected'],
        `Expected reject() to accept the reason ${String(reason)}`,
      );
    }
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(6, 'a second ack() is not counted, and a nack of another delivery still takes effect', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1, 2, 3]);
    const consumer = t.addConsumer(queue, { prefetch: 3 });
    await t.receivesExactly(consumer, [1, 2, 3]);
    await t.settle([consumer.of(1)]);
    assert.equal(await t.within('a second ack() to resolve', consumer.of(1).ack()), false);
    await t.counts(queue, { unfinished: 2 });
    await t.settle([consumer.of(2)], 'nack');
    await t.receivesExactly(consumer, [1, 2, 3, 2]);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(6, 'a settlement after unsubscribing resolves to false, and the message is redelivered', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1, 2]);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1, 2]);
    await t.settle([consumer.of(2)], 'reject');
    consumer.unsubscribe();
    const delivery = consumer.of(1);
    assert.ok(
      delivery.settled === 'retried' || delivery.settled === 'released',
      `Expected \`settled\` of a requeued delivery to be 'retried' or 'released', got ${delivery.settled}`,
    );
    await settlesNoMore(t, delivery);
    await t.counts(queue, { ready: 1, unfinished: 1 });
    const next = t.addConsumer(queue);
    await t.receivesExactly(next, [1]);
    await settlesNoMore(t, delivery);
    await t.settle(next.inFlight);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'each nacked message is redelivered with a higher attempt', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(10));
    const consumer = t.addConsumer(queue, { prefetch: 10 });
    await t.receivesExactly(consumer, upTo(10));
    const first = [...consumer.deliveries];
    await t.settle(first, 'nack');
    await t.receives(consumer, 20);
    const second = consumer.deliveries.slice(10);
    for (const delivery of second) {
      t.isAttempt(delivery, 2);
      assert.ok(delivery.attempt > 1 && !first.includes(delivery), 'Expected another delivery, with a higher attempt');
    }
    await t.settle(second);
    assert.deepEqual(
      consumer.numbers.slice(10).toSorted((a, b) => a - b),
      upTo(10),
    );
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'a message is still redelivered after many nacks', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1]);
    const consumer = t.addConsumer(queue, { prefetch: 1 });
    for (const attempt of upTo(8)) {
      await t.receives(consumer, attempt);
      t.isAttempt(consumer.of(1), attempt);
      await t.settle(consumer.inFlight, attempt < 8 ? 'nack' : 'ack');
    }
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'release() does not count as an attempt', { release: 'uncounted' }, async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1]);
    const consumer = t.addConsumer(queue, { prefetch: 1 });
    const attempts: number[] = [];
    for (const how of ['release', 'release', 'nack', 'release', 'ack'] as const) {
      await t.receives(consumer, attempts.length + 1);
      attempts.push(consumer.of(1).attempt);
      await t.settle(consumer.inFlight, how);
    }
    assert.deepEqual(attempts, [1, 1, 1, 2, 2]);
  }),

  rule(6, 'deliveries can be settled inside next and in any order', async (t) => {
    const queue = await t.open();
    const consumer = t.addConsumer(queue, { prefetch: 8 }, (delivery, { inFlight }) => {
      // Every fourth delivery settles the four in flight, the newest first.
      if (inFlight.length === 4) for (const other of inFlight.toReversed()) void other.ack();
      return delivery.settled;
    });
    await t.publish(queue, upTo(40));
    await t.receivesExactly(consumer, upTo(40));
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'a nack with an invalid delay is refused, and the delivery stays in flight', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1]);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1]);
    for (const delay of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number]) {
      const { name } = (await rejectionOf(`nack() with a delay of ${delay}`, consumer.of(1).nack({ delay }))) as Error;
      assert.ok(
        name === 'TypeError' || name === 'RangeError',
        `Expected a TypeError or RangeError for a delay of ${delay}, got ${name}`,
      );
    }
    assert.equal(consumer.of(1).settled, false);
    await t.settle(consumer.inFlight);
  }),

  rule(6, 'stats() agrees with the settlements, across nacks and rejects', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
    const consumer = t.addConsumer(queue, { prefetch: 3 });
    await t.receivesExactly(consumer, [1, 2, 3]);
    await t.counts(queue, { ready: 3, unfinished: 6 });
    await t.settle([consumer.of(1)]);
    await t.settle([consumer.of(2)], 'reject');
    await t.receives(consumer, 5);
    await t.counts(queue, { ready: 1, unfinished: 4 });
    await t.settle([consumer.of(3)], 'nack');
    await t.receives(consumer, 6);
    await t.counts(queue, { ready: 1, unfinished: 4 });
    await t.counts(queue, { ready: 1, unfinished: 4 }, 'default');
    consumer.unsubscribe();
    await t.counts(queue, { ready: 4, unfinished: 4 });
  }),

  rule(6, 'stats() counts a message at every moment until it is settled, delayed or not', async (t) => {
    const queue = await t.open();
    const numbers = upTo(8);
    const consumer = t.addConsumer(queue, { prefetch: numbers.length });
    await Promise.all(numbers.map((n) => t.publish(queue, [n], { delay: 20 * n })));
    const countsUntil = (count: number) =>
      t.until(`${count} deliveries`, async () => {
        // Only nacked messages are settled so far.
        const { unfinished } = await t.within('stats() to resolve', queue.stats());
        assert.ok(
          unfinished >= numbers.length,
          `Expected ${numbers.length} unfinished messages or, for a moment, more, got ${unfinished}`,
        );
        return consumer.deliveries.length >= count;
      });
    await countsUntil(numbers.length);
    const first = [...consumer.inFlight];
    for (const [index, delivery] of first.entries())
      assert.equal(await delivery.nack({ delay: 20 * (index + 1) }), true);
    await countsUntil(2 * numbers.length);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),
];
