import assert from 'node:assert/strict';
import type { Delivery, Settlement } from '../../backend.js';
import { type Definition, rule } from '../definition.js';
import { present, rejectionOf, type Scene, upTo } from '../scene.js';

const HOWS = ['ack', 'nack', 'release', 'reject'] as const;
type How = (typeof HOWS)[number];

const SETTLED: Readonly<Record<How, Settlement>> = {
  ack: 'acked',
  nack: 'retried',
  release: 'released',
  reject: 'rejected',
};

/** Why a message may be rejected: for anything. */
const REASONS: readonly unknown[] = [new Error('failed'), 'in words', 5n, null, Symbol('why'), { deep: [() => {}] }];

/** Settles a delivery that is settled already, in every way: each changes nothing and says so. */
async function againIsFalse(scene: Scene, delivery: Delivery): Promise<void> {
  const { settled } = delivery;
  for (const how of HOWS) {
    const counted = await scene.within(`a later ${how}() to resolve`, delivery[how]());
    assert.equal(
      counted,
      false,
      `Expected ${how}() of a delivery that is ${settled} to resolve to false, got ${String(counted)}`,
    );
  }
  assert.equal(delivery.settled, settled);
}

/** Rule 6. */
export const settling: readonly Definition[] = [
  rule(6, 'ack() and reject() end a message, nack() and release() bring it back', async (scene) => {
    const queue = await scene.open();
    for (const how of HOWS) {
      await scene.publish(queue, [1]);
      const taker = scene.take(queue, { prefetch: 1 });
      await scene.gets(taker, [1]);
      const delivery = taker.of(1);
      assert.equal(delivery.settled, false);
      await scene.settle([delivery], how);
      assert.equal(delivery.settled, SETTLED[how]);
      const ends = how === 'ack' || how === 'reject';
      if (!ends) await scene.gets(taker, [1, 1]);
      if (!ends) await scene.settle(taker.held);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
      await scene.publish(queue, [2]);
      await scene.gets(taker, ends ? [1, 2] : [1, 1, 2]);
      await scene.settle(taker.held);
      taker.leave();
    }
  }),

  ...HOWS.map((how) =>
    rule(6, `a second settlement changes nothing and resolves to false, after ${how}()`, async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2]);
      const first = scene.take(queue, { prefetch: 1 });
      await scene.gets(first, [1]);
      const delivery = first.of(1);
      await scene.settle([delivery], how);
      await againIsFalse(scene, delivery);
      const goesBack = how === 'nack' || how === 'release';
      await scene.gets(first, goesBack ? [1, 1] : [1, 2]);
      // The one that is out now is another delivery, also if it is of the same message.
      await againIsFalse(scene, delivery);
      assert.equal(present(first.deliveries[1]).settled, false);
      await scene.counts(queue, { ready: goesBack ? 1 : 0, unfinished: goesBack ? 2 : 1 });
      await scene.settle(first.held);
    }),
  ),

  rule(6, 'of settlements at once the first one counts', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(4));
    const taker = scene.take(queue, { prefetch: 4 });
    await scene.gets(taker, upTo(4));
    for (const [index, how] of HOWS.entries()) {
      const delivery = taker.of(index + 1);
      const others = HOWS.filter((other) => other !== how);
      const calls = [how, ...others].map((call) => delivery[call]());
      assert.deepEqual(
        await scene.within('four settlements to resolve', Promise.all(calls)),
        [true, false, false, false],
        `with ${how}() first`,
      );
      assert.equal(delivery.settled, SETTLED[how]);
    }
    // 2 was nacked and 3 released, and both come back; 1 and 4 are gone.
    await scene.gets(taker, [1, 2, 3, 4, 2, 3]);
    await scene.settle(taker.held);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'a settlement too many logs one warning', { logger: true }, async (scene) => {
    const warnings: string[] = [];
    const logger = {
      debug() {},
      warn: (message: string) => void warnings.push(message),
      error: (message: string) => void warnings.push(message),
    };
    const queue = await scene.open({ logger });
    const numbers = upTo(HOWS.length + 1);
    await scene.publish(queue, numbers);
    const taker = scene.take(queue, { prefetch: numbers.length });
    await scene.gets(taker, numbers);
    const deliveries = [...taker.deliveries];
    for (const [index, how] of HOWS.entries()) await scene.settle([taker.of(index + 1)], how);
    // The last one is out, and goes back so.
    taker.leave();
    assert.deepEqual(warnings, []);
    for (const delivery of deliveries) {
      for (const how of HOWS) {
        await scene.within(`a late ${how}() to resolve`, delivery[how]());
        await scene.until(`a warning of a late ${how}() of what is ${delivery.settled}`, () => warnings.length > 0);
        assert.equal(
          warnings.splice(0).length,
          1,
          `Expected one warning of a late ${how}() of what is ${delivery.settled}`,
        );
      }
    }
  }),

  rule(6, 'reject() takes any reason, or none', async (scene) => {
    const queue = await scene.open();
    const numbers = upTo(REASONS.length);
    await scene.publish(queue, numbers);
    const taker = scene.take(queue);
    await scene.gets(taker, numbers);
    for (const [index, reason] of REASONS.entries()) {
      const delivery = taker.of(index + 1);
      const counted = await scene.within('reject() to resolve', delivery.reject(reason));
      assert.deepEqual(
        [counted, delivery.settled],
        [true, 'rejected'],
        `Expected reject() to take ${String(reason)} for a reason`,
      );
    }
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(6, 'a double ack does not count twice, and a nack beside it still takes effect', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1, 2, 3]);
    const taker = scene.take(queue, { prefetch: 3 });
    await scene.gets(taker, [1, 2, 3]);
    await scene.settle([taker.of(1)]);
    assert.equal(await scene.within('a second ack() to resolve', taker.of(1).ack()), false);
    await scene.counts(queue, { unfinished: 2 });
    await scene.settle([taker.of(2)], 'nack');
    await scene.gets(taker, [1, 2, 3, 2]);
    await scene.settle(taker.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(
    6,
    'a delivery that its consumer gave back by leaving settles to false, and its message goes on',
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2]);
      const taker = scene.take(queue);
      await scene.gets(taker, [1, 2]);
      await scene.settle([taker.of(2)], 'reject');
      taker.leave();
      const delivery = taker.of(1);
      assert.ok(
        delivery.settled === 'retried' || delivery.settled === 'released',
        `Expected a delivery that went back to say so, got ${delivery.settled}`,
      );
      await againIsFalse(scene, delivery);
      await scene.counts(queue, { ready: 1, unfinished: 1 });
      const next = scene.take(queue);
      await scene.gets(next, [1]);
      await againIsFalse(scene, delivery);
      await scene.settle(next.held);
      await scene.counts(queue, { unfinished: 0 });
    },
  ),

  rule(6, 'all that was nacked comes again, with a higher attempt', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(10));
    const taker = scene.take(queue, { prefetch: 10 });
    await scene.gets(taker, upTo(10));
    const first = [...taker.deliveries];
    await scene.settle(first, 'nack');
    await scene.got(taker, 20);
    const second = taker.deliveries.slice(10);
    for (const delivery of second) {
      scene.isAttempt(delivery, 2);
      assert.ok(delivery.attempt > 1 && !first.includes(delivery), 'Expected another delivery, with a higher attempt');
    }
    await scene.settle(second);
    assert.deepEqual(
      taker.numbers.slice(10).toSorted((a, b) => a - b),
      upTo(10),
    );
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'after nacks again and again, a message is still delivered', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1]);
    const taker = scene.take(queue, { prefetch: 1 });
    for (const attempt of upTo(8)) {
      await scene.got(taker, attempt);
      scene.isAttempt(taker.of(1), attempt);
      await scene.settle(taker.held, attempt < 8 ? 'nack' : 'ack');
    }
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'release() leaves the attempt as it was', { release: 'uncounted' }, async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1]);
    const taker = scene.take(queue, { prefetch: 1 });
    const attempts: number[] = [];
    for (const how of ['release', 'release', 'nack', 'release', 'ack'] as const) {
      await scene.got(taker, attempts.length + 1);
      attempts.push(taker.of(1).attempt);
      await scene.settle(taker.held, how);
    }
    assert.deepEqual(attempts, [1, 1, 1, 2, 2]);
  }),

  rule(6, 'a delivery can be settled from inside next, and in any order', async (scene) => {
    const queue = await scene.open();
    const taker = scene.take(queue, { prefetch: 8 }, (delivery, { held }) => {
      // Every fourth one settles the four that are out, the newest first.
      if (held.length === 4) for (const other of held.toReversed()) void other.ack();
      return delivery.settled;
    });
    await scene.publish(queue, upTo(40));
    await scene.gets(taker, upTo(40));
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(6, 'a nack with a delay without sense is refused, and the delivery stays out', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1]);
    const taker = scene.take(queue);
    await scene.gets(taker, [1]);
    for (const delay of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number]) {
      const { name } = (await rejectionOf(`nack() with a delay of ${delay}`, taker.of(1).nack({ delay }))) as Error;
      assert.ok(
        name === 'TypeError' || name === 'RangeError',
        `Expected a TypeError or RangeError for a delay of ${delay}, got ${name}`,
      );
    }
    assert.equal(taker.of(1).settled, false);
    await scene.settle(taker.held);
  }),

  rule(6, 'stats() agree with what was settled, across nacks and rejects', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(6));
    const taker = scene.take(queue, { prefetch: 3 });
    await scene.gets(taker, [1, 2, 3]);
    await scene.counts(queue, { ready: 3, unfinished: 6 });
    await scene.settle([taker.of(1)]);
    await scene.settle([taker.of(2)], 'reject');
    await scene.got(taker, 5);
    await scene.counts(queue, { ready: 1, unfinished: 4 });
    await scene.settle([taker.of(3)], 'nack');
    await scene.got(taker, 6);
    await scene.counts(queue, { ready: 1, unfinished: 4 });
    await scene.counts(queue, { ready: 1, unfinished: 4 }, 'default');
    taker.leave();
    await scene.counts(queue, { ready: 4, unfinished: 4 });
  }),

  rule(6, 'stats() count a message at every moment until it is settled, also one that is delayed', async (scene) => {
    const queue = await scene.open();
    const numbers = upTo(8);
    const taker = scene.take(queue, { prefetch: numbers.length });
    await Promise.all(numbers.map((n) => scene.publish(queue, [n], { delay: 20 * n })));
    const countsUntil = (count: number) =>
      scene.until(`${count} deliveries`, async () => {
        // Nothing is settled yet but what is to come again.
        const { unfinished } = await scene.within('stats() to resolve', queue.stats());
        assert.ok(
          unfinished >= numbers.length,
          `Expected ${numbers.length} unfinished messages or, for a moment, more, got ${unfinished}`,
        );
        return taker.deliveries.length >= count;
      });
    await countsUntil(numbers.length);
    const first = [...taker.held];
    for (const [index, delivery] of first.entries())
      assert.equal(await delivery.nack({ delay: 20 * (index + 1) }), true);
    await countsUntil(2 * numbers.length);
    await scene.settle(taker.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),
];
