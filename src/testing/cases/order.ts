import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { HOUR, notBefore, present, TOLERANCE, turns, upTo } from '../scene.js';
import { acking, numberOf } from '../taker.js';

/** A delay that is too long for a timer of JavaScript, which would fire at once: almost 25 days, in milliseconds. */
const LONG = 2 ** 31 + 1000;

/** Rule 3. */
export const order: readonly Definition[] = [
  rule(3, 'messages arrive in the order of the publish() calls, awaited or not', async (scene) => {
    const queue = await scene.open();
    const taker = scene.take(queue, {}, acking);
    await scene.publish(queue, upTo(500));
    for (const n of upTo(20)) await scene.publish(queue, [500 + n]);
    await scene.gets(taker, upTo(520));
  }),

  rule(3, 'with a prefetch of 1, no message comes before the one before it is settled', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(20));
    let [out, most] = [0, 0];
    const taker = scene.take(queue, { prefetch: 1 }, async (delivery) => {
      most = Math.max(most, ++out);
      await turns();
      out--;
      await delivery.ack();
    });
    await scene.gets(taker, upTo(20));
    assert.equal(most, 1);
  }),

  rule(3, 'what is released or nacked goes back to its place', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(4));
    const taker = scene.take(queue, { prefetch: 1 });
    const expected = [1];
    for (const how of ['release', 'nack', 'nack', 'ack', 'release', 'ack', 'ack', 'nack', 'ack'] as const) {
      await scene.gets(taker, expected);
      await scene.settle(taker.held, how);
      if (expected.length < 9) expected.push(present(expected.at(-1)) + (how === 'ack' ? 1 : 0));
    }
    assert.deepEqual(expected, [1, 1, 1, 1, 2, 2, 3, 4, 4]);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(3, 'what goes back from the middle of what is held comes before what is newer', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(6));
    const taker = scene.take(queue, { prefetch: 3 });
    await scene.gets(taker, [1, 2, 3]);
    await scene.settle([taker.of(2)], 'nack');
    await scene.gets(taker, [1, 2, 3, 2]);
    await scene.settle([taker.of(1)], 'release');
    await scene.gets(taker, [1, 2, 3, 2, 1]);
    await scene.settle(taker.held);
    await scene.gets(taker, [1, 2, 3, 2, 1, 4, 5, 6]);
  }),

  rule(3, 'what a consumer leaves behind goes back to its place', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(5));
    const first = scene.take(queue, { prefetch: 4 });
    await scene.gets(first, [1, 2, 3, 4]);
    await scene.settle([first.of(2)]);
    await scene.got(first, 5);
    first.leave();
    await scene.counts(queue, { ready: 4, unfinished: 4 });
    await scene.gets(scene.take(queue, { prefetch: 4 }, acking), [1, 3, 4, 5]);
  }),

  rule(3, 'a delayed publish is seen by nobody before its time, and takes its place then', async (scene) => {
    let arrived = 0;
    const { value, delay, since } = await scene.inTime(async (delay) => {
      const queue = await scene.open();
      const taker = scene.take(queue, {}, () => {
        arrived = performance.now();
      });
      await scene.within(
        'publish() to resolve',
        queue.publish('Orders.Later', { n: 1 }, { headers: { 'Trace-Id': 't-1' }, delay }),
      );
      await scene.publish(queue, [2]);
      return taker;
    });
    await scene.gets(value, [2, 1]);
    notBefore(arrived - since, delay);
    const [second, first] = [value.of(2), value.of(1)];
    scene.isAttempt(first, 1);
    assert.deepEqual([first.key, { ...first.headers }], ['Orders.Later', { 'Trace-Id': 't-1' }]);
    // By the clock of the backend, whatever that is: the other message was published later, and before this one fell due.
    const ahead = first.publishedAt - second.publishedAt;
    assert.ok(
      ahead <= TOLERANCE,
      `Expected \`publishedAt\` of a delayed message to say when it was published, got ${ahead} ms more than of a later one`,
    );
  }),

  rule(
    3,
    'a delayed publish that falls due while nobody consumes stands behind what was published before that, and before what comes then',
    async (scene) => {
      const { value: queue } = await scene.inTime(async (delay) => {
        const queue = await scene.open();
        await scene.publish(queue, [1], { delay });
        await scene.publish(queue, [2]);
        return queue;
      });
      await scene.counts(queue, { ready: 2, unfinished: 2 });
      await scene.publish(queue, [3]);
      await scene.gets(scene.take(queue, {}, acking), [2, 1, 3]);
    },
  ),

  rule(3, 'delayed messages come in the order in which they fall due', async (scene) => {
    const { value } = await scene.inTime(async (delay) => {
      const queue = await scene.open();
      const taker = scene.take(queue, {}, acking);
      await Promise.all([3, 1, 2].map((n) => scene.publish(queue, [n], { delay: n * delay })));
      return taker;
    });
    await scene.gets(value, [1, 2, 3]);
  }),

  rule(3, 'a delay of 0 is none', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1], { delay: 0 });
    await scene.publish(queue, [2]);
    const taker = scene.take(queue, { prefetch: 1 });
    await scene.gets(taker, [1]);
    await scene.within('nack() to resolve', taker.of(1).nack({ delay: 0 }));
    await scene.gets(taker, [1, 1]);
  }),

  rule(3, 'a nack with a delay keeps the message away for that time, and lets others pass', async (scene) => {
    let [nacked, arrived] = [0, 0];
    const { value, delay } = await scene.inTime(async (delay) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2, 3]);
      const taker = scene.take(queue, { prefetch: 1 }, (delivery) => {
        arrived = performance.now();
        return numberOf(delivery.payload) === 1 ? undefined : delivery.ack();
      });
      await scene.gets(taker, [1]);
      nacked = performance.now();
      assert.equal(await scene.within('nack() to resolve', taker.of(1).nack({ delay })), true);
      await scene.until('the two other messages', () => taker.deliveries.length >= 3 || taker.numbers[1] === 1);
      return taker;
    });
    await scene.gets(value, [1, 2, 3, 1]);
    notBefore(arrived - nacked, delay);
    scene.isAttempt(value.of(1), 2);
  }),

  rule(3, 'a nack with a delay goes back to its old place when it falls due', async (scene) => {
    const { value: queue } = await scene.inTime(async (delay) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2]);
      const first = scene.take(queue, { prefetch: 1 });
      await scene.gets(first, [1]);
      await scene.within('nack() to resolve', first.of(1).nack({ delay }));
      await scene.got(first, 2);
      first.leave();
      await scene.publish(queue, [3]);
      return queue;
    });
    await scene.counts(queue, { ready: 3, unfinished: 3 });
    await scene.gets(scene.take(queue, {}, acking), [1, 2, 3]);
  }),

  rule(3, 'what is delayed is unfinished, and not ready', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, [1], { delay: HOUR });
    await scene.publish(queue, [2], { delay: LONG });
    await scene.publish(queue, [3, 4]);
    const taker = scene.take(queue);
    await scene.gets(taker, [3, 4]);
    await scene.within('nack() to resolve', taker.of(3).nack({ delay: HOUR }));
    await scene.within('nack() to resolve', taker.of(4).nack({ delay: LONG }));
    await scene.counts(queue, { ready: 0, unfinished: 4 });
    await scene.publish(queue, [5]);
    // What waits for no time at all comes before what waits for a little.
    await scene.publish(queue, [6], { delay: 50 });
    await scene.gets(taker, [3, 4, 5, 6]);
  }),
];
