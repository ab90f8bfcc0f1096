import assert from 'node:assert/strict';
import { HOUR, notBefore, present, TOLERANCE, turns, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, numberOf } from '../test-consumer.js';

/**
 * A delay of almost 25 days, in milliseconds. A JavaScript timer that is this long fires at once.
 */
const LONG = 2 ** 31 + 1000;

/** Rule 3: the order of messages. */
export const order: readonly Definition[] = [
  rule(3, 'messages arrive in the order of the publish() calls, awaited or not', async (t) => {
    const queue = await t.open();
    const consumer = t.addConsumer(queue, {}, acking);
    await t.publish(queue, upTo(500));
    for (const n of upTo(20)) await t.publish(queue, [500 + n]);
    await t.receivesExactly(consumer, upTo(520));
  }),

  rule(3, 'with a prefetch of 1, a message is delivered after the one before it is settled', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(20));
    let [out, most] = [0, 0];
    const consumer = t.addConsumer(queue, { prefetch: 1 }, async (delivery) => {
      most = Math.max(most, ++out);
      await turns();
      out--;
      await delivery.ack();
    });
    await t.receivesExactly(consumer, upTo(20));
    assert.equal(most, 1);
  }),

  rule(3, 'a released or nacked message returns to its place', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(4));
    const consumer = t.addConsumer(queue, { prefetch: 1 });
    const expected = [1];
    for (const how of ['release', 'nack', 'nack', 'ack', 'release', 'ack', 'ack', 'nack', 'ack'] as const) {
      await t.receivesExactly(consumer, expected);
      await t.settle(consumer.inFlight, how);
      if (expected.length < 9) expected.push(present(expected.at(-1)) + (how === 'ack' ? 1 : 0));
    }
    assert.deepEqual(expected, [1, 1, 1, 1, 2, 2, 3, 4, 4]);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(3, 'a requeued message is redelivered before newer messages', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
    const consumer = t.addConsumer(queue, { prefetch: 3 });
    await t.receivesExactly(consumer, [1, 2, 3]);
    await t.settle([consumer.of(2)], 'nack');
    await t.receivesExactly(consumer, [1, 2, 3, 2]);
    await t.settle([consumer.of(1)], 'release');
    await t.receivesExactly(consumer, [1, 2, 3, 2, 1]);
    await t.settle(consumer.inFlight);
    await t.receivesExactly(consumer, [1, 2, 3, 2, 1, 4, 5, 6]);
  }),

  rule(3, 'messages of a consumer that unsubscribed return to their places', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(5));
    const first = t.addConsumer(queue, { prefetch: 4 });
    await t.receivesExactly(first, [1, 2, 3, 4]);
    await t.settle([first.of(2)]);
    await t.receives(first, 5);
    first.unsubscribe();
    await t.counts(queue, { ready: 4, unfinished: 4 });
    await t.receivesExactly(t.addConsumer(queue, { prefetch: 4 }, acking), [1, 3, 4, 5]);
  }),

  rule(3, 'a delayed publish is delivered when it is due, not before', async (t) => {
    let arrived = 0;
    const { value, delay, since } = await t.inTime(async (delay) => {
      const queue = await t.open();
      const consumer = t.addConsumer(queue, {}, () => {
        arrived = performance.now();
      });
      await t.within(
        'publish() to resolve',
        queue.publish('Orders.Later', { n: 1 }, { headers: { 'Trace-Id': 't-1' }, delay }),
      );
      await t.publish(queue, [2]);
      return consumer;
    });
    await t.receivesExactly(value, [2, 1]);
    notBefore(arrived - since, delay);
    const [second, first] = [value.of(2), value.of(1)];
    t.isAttempt(first, 1);
    assert.deepEqual([first.key, { ...first.headers }], ['Orders.Later', { 'Trace-Id': 't-1' }]);
    // Both times are from the clock of the backend. Message 2 was published after message 1 and
    // before that was due.
    const ahead = first.publishedAt - second.publishedAt;
    assert.ok(
      ahead <= TOLERANCE,
      `Expected \`publishedAt\` of a delayed message to say when it was published, got ${ahead} ms more than of a later message`,
    );
  }),

  rule(3, 'a delayed publish takes its place when it becomes due, also without a consumer', async (t) => {
    const { value: queue } = await t.inTime(async (delay) => {
      const queue = await t.open();
      await t.publish(queue, [1], { delay });
      await t.publish(queue, [2]);
      return queue;
    });
    await t.counts(queue, { ready: 2, unfinished: 2 });
    await t.publish(queue, [3]);
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [2, 1, 3]);
  }),

  rule(3, 'delayed messages arrive in the order in which they become due', async (t) => {
    const { value } = await t.inTime(async (delay) => {
      const queue = await t.open();
      const consumer = t.addConsumer(queue, {}, acking);
      await Promise.all([3, 1, 2].map((n) => t.publish(queue, [n], { delay: n * delay })));
      return consumer;
    });
    await t.receivesExactly(value, [1, 2, 3]);
  }),

  rule(3, 'a delay of 0 does not delay', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1], { delay: 0 });
    await t.publish(queue, [2]);
    const consumer = t.addConsumer(queue, { prefetch: 1 });
    await t.receivesExactly(consumer, [1]);
    await t.within('nack() to resolve', consumer.of(1).nack({ delay: 0 }));
    await t.receivesExactly(consumer, [1, 1]);
  }),

  rule(3, 'a delayed nack redelivers the message when it is due; other messages pass it', async (t) => {
    let [nacked, arrived] = [0, 0];
    const { value, delay } = await t.inTime(async (delay) => {
      const queue = await t.open();
      await t.publish(queue, [1, 2, 3]);
      const consumer = t.addConsumer(queue, { prefetch: 1 }, (delivery) => {
        arrived = performance.now();
        return numberOf(delivery.payload) === 1 ? undefined : delivery.ack();
      });
      await t.receivesExactly(consumer, [1]);
      nacked = performance.now();
      assert.equal(await t.within('nack() to resolve', consumer.of(1).nack({ delay })), true);
      await t.until('the two other messages', () => consumer.deliveries.length >= 3 || consumer.numbers[1] === 1);
      return consumer;
    });
    await t.receivesExactly(value, [1, 2, 3, 1]);
    notBefore(arrived - nacked, delay);
    t.isAttempt(value.of(1), 2);
  }),

  rule(3, 'a message nacked with a delay returns to its old place when it is due', async (t) => {
    const { value: queue } = await t.inTime(async (delay) => {
      const queue = await t.open();
      await t.publish(queue, [1, 2]);
      const first = t.addConsumer(queue, { prefetch: 1 });
      await t.receivesExactly(first, [1]);
      await t.within('nack() to resolve', first.of(1).nack({ delay }));
      await t.receives(first, 2);
      first.unsubscribe();
      await t.publish(queue, [3]);
      return queue;
    });
    await t.counts(queue, { ready: 3, unfinished: 3 });
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [1, 2, 3]);
  }),

  rule(3, 'a delayed message is unfinished but not ready', async (t) => {
    const queue = await t.open();
    await t.publish(queue, [1], { delay: HOUR });
    await t.publish(queue, [2], { delay: LONG });
    await t.publish(queue, [3, 4]);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [3, 4]);
    await t.within('nack() to resolve', consumer.of(3).nack({ delay: HOUR }));
    await t.within('nack() to resolve', consumer.of(4).nack({ delay: LONG }));
    await t.counts(queue, { ready: 0, unfinished: 4 });
    await t.publish(queue, [5]);
    // A message without a delay comes before one with a short delay.
    await t.publish(queue, [6], { delay: 50 });
    await t.receivesExactly(consumer, [3, 4, 5, 6]);
  }),
];
