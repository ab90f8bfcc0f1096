import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { BackendUnavailableError } from '../../errors.js';
import { type Definition, rule } from '../definition.js';
import { pass, type Scene, turns, upTo } from '../scene.js';
import { acking, numberOf, type OnDelivery } from '../taker.js';

/** How long a case holds a message that has to stay out, in leases. */
const LEASES = 3;

async function expire(scene: Scene, backend: QueueBackend): Promise<void> {
  await scene.within('expire() to resolve', Promise.resolve(scene.capabilities.expire?.(backend)));
}

/** Publishes until it was taken: while the connection heals, it may reject, and says whether to try again. */
async function publishAnyway(scene: Scene, queue: QueueBackend, n: number): Promise<void> {
  const since = performance.now();
  for (;;) {
    try {
      return await queue.publish('number', { n });
    } catch (error) {
      const late = performance.now() - since > scene.deadline * 4;
      if (late || !BackendUnavailableError.is(error) || !error.retryable) throw error;
      await turns();
    }
  }
}

/** Publishes one after the other while something fails in between, and waits until each has arrived, once at least. */
async function allArrive(
  scene: Scene,
  queue: QueueBackend,
  consumer: QueueBackend,
  count: number,
  disturb: () => Promise<void>,
): Promise<void> {
  const acknowledged = new Set<number>();
  const onDelivery: OnDelivery = async (delivery) => {
    if (await delivery.ack()) acknowledged.add(numberOf(delivery.payload));
  };
  scene.take(consumer, {}, onDelivery);
  const third = Math.ceil(count / 3);
  let disturbed = Promise.resolve();
  for (const n of upTo(count)) {
    if (n % third === 0) disturbed = Promise.all([disturbed, disturb()]).then(() => {});
    await publishAnyway(scene, queue, n);
  }
  await disturbed;
  await scene.until(
    () => `all of ${count} messages, got ${acknowledged.size}`,
    () => acknowledged.size === count,
    () => acknowledged.size,
  );
  await scene.counts(consumer, { ready: 0, unfinished: 0 });
}

/** What only happens where messages travel: leases that run out, connections that break, brokers that restart. */
export const failures: readonly Definition[] = [
  rule(
    1,
    'what is held for longer than a lease stays with its consumer, which is alive',
    { lease: true, shared: true },
    async (scene) => {
      const lease = scene.capabilities.lease ?? 0;
      const name = scene.newName();
      const [first, second] = [await scene.open({ name, lease }), await scene.open({ name, lease })];
      const holder = scene.take(first, { prefetch: 2 });
      await scene.publish(first, [1, 2]);
      await scene.gets(holder, [1, 2]);
      const other = scene.take(second);
      await pass(lease * LEASES);
      await scene.publish(first, [3]);
      await scene.gets(other, [3]);
      await scene.settle([...holder.held, ...other.held]);
      await scene.counts(second, { ready: 0, unfinished: 0 });
    },
  ),

  rule(
    6,
    'when a lease ran out, its messages go to another consumer, and its settlements do not count',
    { expire: true, shared: true },
    async (scene) => {
      const { lease } = scene.capabilities;
      const name = scene.newName();
      const [first, second] = [await scene.open({ name, lease }), await scene.open({ name, lease })];
      const holder = scene.take(first, { prefetch: 4 });
      await scene.publish(first, upTo(4));
      await scene.gets(holder, upTo(4));
      await scene.settle([holder.of(1)]);
      await expire(scene, first);
      const other = scene.take(second, { prefetch: 8 });
      await scene.gets(other, [2, 3, 4]);
      for (const delivery of other.deliveries) scene.isAttempt(delivery, 2);
      for (const n of [2, 3, 4]) assert.equal(other.of(n).id, holder.of(n).id);
      const late = [holder.of(2).ack(), holder.of(3).nack(), holder.of(4).release()];
      assert.deepEqual(await scene.within('late settlements to resolve', Promise.all(late)), [false, false, false]);
      await scene.counts(second, { ready: 0, unfinished: 3 });
      await scene.settle(other.held);
      await scene.counts(second, { ready: 0, unfinished: 0 });
      assert.deepEqual(other.numbers, [2, 3, 4]);
    },
  ),

  rule(
    6,
    'a lease that ran out several times counts an attempt each time, and a reject ends the message',
    { expire: true, shared: true },
    async (scene) => {
      const { lease } = scene.capabilities;
      const name = scene.newName();
      const publisher = await scene.open({ name, lease });
      await scene.publish(publisher, [1]);
      for (const attempt of [1, 2, 3]) {
        const stalled = await scene.open({ name, lease });
        const holder = scene.take(stalled);
        await scene.gets(holder, [1]);
        scene.isAttempt(holder.of(1), attempt);
        await expire(scene, stalled);
        // It hangs, and must not take the message again.
        holder.leave();
      }
      const last = scene.take(publisher);
      await scene.gets(last, [1]);
      scene.isAttempt(last.of(1), 4);
      await scene.settle(last.held, 'reject');
      await scene.counts(publisher, { ready: 0, unfinished: 0 });
    },
  ),

  rule(1, 'leases that run out concern their own queue only', { expire: true, shared: true }, async (scene) => {
    const { lease } = scene.capabilities;
    const names = [scene.newName(), scene.newName()] as const;
    const stalled = await scene.open({ name: names[0], lease });
    const alive = await scene.open({ name: names[1] });
    const [lost, kept] = [scene.take(stalled), scene.take(alive)];
    await Promise.all([scene.publish(stalled, [1]), scene.publish(alive, [2])]);
    await Promise.all([scene.gets(lost, [1]), scene.gets(kept, [2])]);
    await expire(scene, stalled);
    await scene.gets(scene.take(await scene.open({ name: names[0], lease })), [1]);
    await scene.settle(kept.held);
    await scene.counts(alive, { ready: 0, unfinished: 0 });
  }),

  rule(
    6,
    'after a lost connection a settlement either counts, or its message comes again',
    { disconnect: true },
    async (scene) => {
      const queue = await scene.open();
      const taker = scene.take(queue, { prefetch: 3 });
      await scene.publish(queue, [1, 2, 3]);
      await scene.gets(taker, [1, 2, 3]);
      const held = [...taker.held];
      await scene.within('disconnect() to resolve', Promise.resolve(scene.capabilities.disconnect?.(queue)));
      const counted = await scene.within(
        'three calls of ack() to resolve',
        Promise.all(held.map((delivery) => delivery.ack())),
        scene.deadline * 2,
      );
      const again = [1, 2, 3].filter((_, index) => !counted[index]);
      await scene.until(
        () => `deliveries of what was not acknowledged, ${again.join(' ')}; got ${taker.numbers.join(' ')}`,
        () => again.every((n) => taker.deliveries.slice(3).some(({ payload }) => numberOf(payload) === n)),
      );
      await scene.settle(taker.held);
      await scene.publish(queue, [4]);
      await scene.until('a message after the connection has healed', () => taker.numbers.includes(4));
      await scene.settle(taker.held);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
      assert.deepEqual(
        taker.numbers
          .slice(3)
          .filter((n) => n < 4)
          .toSorted(),
        again,
      );
    },
  ),

  rule(
    2,
    'nothing is lost when connections break in the middle of a stream',
    { disconnect: true, shared: true },
    async (scene) => {
      const name = scene.newName();
      const [publisher, consumer] = [await scene.open({ name }), await scene.open({ name })];
      await allArrive(scene, publisher, consumer, scene.scaled(1000), async () => {
        await Promise.all([scene.capabilities.disconnect?.(publisher), scene.capabilities.disconnect?.(consumer)]);
      });
    },
  ),

  rule(
    2,
    'nothing is lost when the broker is restarted twice in the middle of a stream',
    { restart: true },
    async (scene) => {
      const queue = await scene.open();
      await allArrive(scene, queue, queue, scene.scaled(10_000), async () => scene.capabilities.restart?.());
    },
  ),

  rule(
    2,
    'what is delayed or nacked with a delay outlives a restart of the broker',
    { restart: true },
    async (scene) => {
      const { value } = await scene.inTime(async (delay) => {
        const queue = await scene.open();
        await scene.publish(queue, [1], { delay });
        await scene.publish(queue, [2]);
        // What comes afterwards may come once more: where a broker hands it on, that may not have been confirmed.
        const taker = scene.take(queue, {}, (delivery, { deliveries }) => deliveries.length > 1 && delivery.ack());
        await scene.until('the message without a delay', () => taker.numbers.includes(2));
        await scene.within('nack() to resolve', taker.of(2).nack({ delay }));
        return { queue, taker };
      }, 500);
      const { queue, taker } = value;
      assert.deepEqual(taker.numbers, [2]);
      await scene.within('restart() to resolve', Promise.resolve(scene.capabilities.restart?.()), scene.deadline * 4);
      await scene.until(
        'both messages',
        () => taker.numbers.includes(1) && taker.numbers.filter((n) => n === 2).length >= 2,
      );
      await scene.gets(scene.take(queue, {}, acking), []);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),
];
