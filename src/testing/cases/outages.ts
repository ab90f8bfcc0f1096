import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { BackendUnavailableError } from '../../errors.js';
import { type CaseContext, pass, turns, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, numberOf, type OnDelivery } from '../test-consumer.js';

/** A case keeps a message in flight for this many leases. */
const LEASES = 3;

async function expire(t: CaseContext, backend: QueueBackend): Promise<void> {
  await t.within('expire() to resolve', Promise.resolve(t.capabilities.expire?.(backend)));
}

/**
 * Publishes until the backend confirms. While the backend reconnects, a publish may reject as
 * retryable.
 */
async function publishUntilConfirmed(t: CaseContext, queue: QueueBackend, n: number): Promise<void> {
  const since = performance.now();
  for (;;) {
    try {
      return await queue.publish('number', { n });
    } catch (error) {
      const late = performance.now() - since > t.deadline * 4;
      if (late || !BackendUnavailableError.is(error) || !error.retryable) throw error;
      await turns();
    }
  }
}

/**
 * Publishes one message after another while connections fail. Waits until each has arrived at least
 * once.
 */
async function allArrive(
  t: CaseContext,
  queue: QueueBackend,
  consumer: QueueBackend,
  count: number,
  fail: () => Promise<void>,
): Promise<void> {
  const acknowledged = new Set<number>();
  const onDelivery: OnDelivery = async (delivery) => {
    if (await delivery.ack()) acknowledged.add(numberOf(delivery.payload));
  };
  t.addConsumer(consumer, {}, onDelivery);
  const third = Math.ceil(count / 3);
  let outage = Promise.resolve();
  for (const n of upTo(count)) {
    if (n % third === 0) outage = Promise.all([outage, fail()]).then(() => {});
    await publishUntilConfirmed(t, queue, n);
  }
  await outage;
  await t.until(
    () => `all of ${count} messages, got ${acknowledged.size}`,
    () => acknowledged.size === count,
    () => acknowledged.size,
  );
  await t.counts(consumer, { ready: 0, unfinished: 0 });
}

/** Rules 1, 2 and 6 when leases expire, connections are lost and brokers restart. */
export const outages: readonly Definition[] = [
  rule(1, 'a live consumer keeps its messages for longer than a lease', { lease: true, shared: true }, async (t) => {
    const lease = t.capabilities.lease ?? 0;
    const name = t.newName();
    const [first, second] = [await t.open({ name, lease }), await t.open({ name, lease })];
    const holder = t.addConsumer(first, { prefetch: 2 });
    await t.publish(first, [1, 2]);
    await t.receivesExactly(holder, [1, 2]);
    const other = t.addConsumer(second);
    await pass(lease * LEASES);
    await t.publish(first, [3]);
    await t.receivesExactly(other, [3]);
    await t.settle([...holder.inFlight, ...other.inFlight]);
    await t.counts(second, { ready: 0, unfinished: 0 });
  }),

  rule(
    6,
    'after a lease expires, its messages go to another consumer, and late settlements do not count',
    { expire: true, shared: true },
    async (t) => {
      const { lease } = t.capabilities;
      const name = t.newName();
      const [first, second] = [await t.open({ name, lease }), await t.open({ name, lease })];
      const holder = t.addConsumer(first, { prefetch: 4 });
      await t.publish(first, upTo(4));
      await t.receivesExactly(holder, upTo(4));
      await t.settle([holder.of(1)]);
      await expire(t, first);
      const other = t.addConsumer(second, { prefetch: 8 });
      await t.receivesExactly(other, [2, 3, 4]);
      for (const delivery of other.deliveries) t.isAttempt(delivery, 2);
      for (const n of [2, 3, 4]) assert.equal(other.of(n).id, holder.of(n).id);
      const late = [holder.of(2).ack(), holder.of(3).nack(), holder.of(4).release()];
      assert.deepEqual(await t.within('late settlements to resolve', Promise.all(late)), [false, false, false]);
      await t.counts(second, { ready: 0, unfinished: 3 });
      await t.settle(other.inFlight);
      await t.counts(second, { ready: 0, unfinished: 0 });
      assert.deepEqual(other.numbers, [2, 3, 4]);
    },
  ),

  rule(
    6,
    'each expired lease counts as an attempt, and a reject ends the message',
    { expire: true, shared: true },
    async (t) => {
      const { lease } = t.capabilities;
      const name = t.newName();
      const publisher = await t.open({ name, lease });
      await t.publish(publisher, [1]);
      for (const attempt of [1, 2, 3]) {
        const stalled = await t.open({ name, lease });
        const holder = t.addConsumer(stalled);
        await t.receivesExactly(holder, [1]);
        t.isAttempt(holder.of(1), attempt);
        await expire(t, stalled);
        // The stalled backend must not take the message again.
        holder.unsubscribe();
      }
      const last = t.addConsumer(publisher);
      await t.receivesExactly(last, [1]);
      t.isAttempt(last.of(1), 4);
      await t.settle(last.inFlight, 'reject');
      await t.counts(publisher, { ready: 0, unfinished: 0 });
    },
  ),

  rule(1, 'expired leases affect only their own queue', { expire: true, shared: true }, async (t) => {
    const { lease } = t.capabilities;
    const names = [t.newName(), t.newName()] as const;
    const stalled = await t.open({ name: names[0], lease });
    const alive = await t.open({ name: names[1] });
    const [lost, kept] = [t.addConsumer(stalled), t.addConsumer(alive)];
    await Promise.all([t.publish(stalled, [1]), t.publish(alive, [2])]);
    await Promise.all([t.receivesExactly(lost, [1]), t.receivesExactly(kept, [2])]);
    await expire(t, stalled);
    await t.receivesExactly(t.addConsumer(await t.open({ name: names[0], lease })), [1]);
    await t.settle(kept.inFlight);
    await t.counts(alive, { ready: 0, unfinished: 0 });
  }),

  rule(
    6,
    'after a lost connection a settlement either counts, or its message is redelivered',
    { disconnect: true },
    async (t) => {
      const queue = await t.open();
      const consumer = t.addConsumer(queue, { prefetch: 3 });
      await t.publish(queue, [1, 2, 3]);
      await t.receivesExactly(consumer, [1, 2, 3]);
      const held = [...consumer.inFlight];
      await t.within('disconnect() to resolve', Promise.resolve(t.capabilities.disconnect?.(queue)));
      const counted = await t.within(
        'three calls of ack() to resolve',
        Promise.all(held.map((delivery) => delivery.ack())),
        t.deadline * 2,
      );
      const again = [1, 2, 3].filter((_, index) => !counted[index]);
      await t.until(
        () => `redeliveries of the unacknowledged messages ${again.join(' ')}, got ${consumer.numbers.join(' ')}`,
        () => again.every((n) => consumer.deliveries.slice(3).some(({ payload }) => numberOf(payload) === n)),
      );
      await t.settle(consumer.inFlight);
      await t.publish(queue, [4]);
      await t.until('a message after the reconnect', () => consumer.numbers.includes(4));
      await t.settle(consumer.inFlight);
      await t.counts(queue, { ready: 0, unfinished: 0 });
      assert.deepEqual(
        consumer.numbers
          .slice(3)
          .filter((n) => n < 4)
          .toSorted(),
        again,
      );
    },
  ),

  rule(2, 'no message is lost when connections are cut', { disconnect: true, shared: true }, async (t) => {
    const name = t.newName();
    const [publisher, consumer] = [await t.open({ name }), await t.open({ name })];
    await allArrive(t, publisher, consumer, t.scaled(1000), async () => {
      await Promise.all([t.capabilities.disconnect?.(publisher), t.capabilities.disconnect?.(consumer)]);
    });
  }),

  rule(2, 'no message is lost when the broker restarts twice', { restart: true }, async (t) => {
    const queue = await t.open();
    await allArrive(t, queue, queue, t.scaled(10_000), async () => t.capabilities.restart?.());
  }),

  rule(2, 'delayed messages and delayed nacks survive a restart of the broker', { restart: true }, async (t) => {
    const { value } = await t.inTime(async (delay) => {
      const queue = await t.open();
      await t.publish(queue, [1], { delay });
      await t.publish(queue, [2]);
      // Later deliveries may be duplicates: the restart may lose the confirm of a broker that moves
      // delayed messages.
      const consumer = t.addConsumer(queue, {}, (delivery, { deliveries }) => deliveries.length > 1 && delivery.ack());
      await t.until('the message without a delay', () => consumer.numbers.includes(2));
      await t.within('nack() to resolve', consumer.of(2).nack({ delay }));
      return { queue, consumer };
    }, 500);
    const { queue, consumer } = value;
    assert.deepEqual(consumer.numbers, [2]);
    await t.within('restart() to resolve', Promise.resolve(t.capabilities.restart?.()), t.deadline * 4);
    await t.until(
      'both messages',
      () => consumer.numbers.includes(1) && consumer.numbers.filter((n) => n === 2).length >= 2,
    );
    await t.receivesExactly(t.addConsumer(queue, {}, acking), []);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),
];
