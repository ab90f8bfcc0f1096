import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { type Definition, rule } from '../definition.js';
import { type Scene, turns, upTo } from '../scene.js';
import { acking, numberOf, type OnDelivery, type Taker } from '../taker.js';

/** Works a moment on each delivery, so that consumers overlap. */
const working: OnDelivery = async (delivery) => {
  await turns();
  await delivery.ack();
};

/** Waits until the takers have got all numbers, and checks that nobody got one twice: a marker that is sent afterwards comes behind any copy. */
async function eachOnce(scene: Scene, queue: QueueBackend, takers: readonly Taker[], count: number): Promise<void> {
  await scene.got(takers, count);
  await scene.counts(queue, { unfinished: 0 });
  await scene.publish(queue, [count + 1]);
  await scene.got(takers, count + 1);
  const numbers = takers.flatMap((taker) => taker.numbers).toSorted((a, b) => a - b);
  assert.deepEqual(numbers, upTo(count + 1), 'Expected each message exactly once');
}

/** Rule 1. */
export const sharingOut: readonly Definition[] = [
  rule(1, 'each message goes to exactly one consumer of a group', async (scene) => {
    const queue = await scene.open();
    const takers = upTo(3).map(() => scene.take(queue, { prefetch: 4 }, working));
    await scene.publish(queue, upTo(60));
    await eachOnce(scene, queue, takers, 60);
    const ids = takers.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
    assert.equal(new Set(ids).size, 61, 'Expected an `id` of its own for each message');
  }),

  rule(1, 'consumers of a group are served in turn: nobody is left out', async (scene) => {
    const queue = await scene.open();
    const takers = upTo(3).map(() => scene.take(queue, { prefetch: 8 }, acking));
    for (const n of upTo(30)) {
      await scene.publish(queue, [n]);
      await scene.got(takers, n);
    }
    const shares = takers.map(({ deliveries }) => deliveries.length);
    // A broker may let one of them have two in a row. Half of its share is what nobody may be denied.
    assert.ok(
      Math.min(...shares) >= 5,
      `Expected each of 3 consumers to get its share of 30 messages, got ${shares.join(', ')}`,
    );
  }),

  rule(1, 'what is out with one consumer goes to no other', async (scene) => {
    const queue = await scene.open();
    const first = scene.take(queue, { prefetch: 2 });
    await scene.publish(queue, [1, 2]);
    await scene.gets(first, [1, 2]);
    const second = scene.take(queue, { prefetch: 8 });
    await scene.publish(queue, [3, 4, 5]);
    await scene.gets(second, [3, 4, 5]);
    assert.deepEqual(first.numbers, [1, 2]);
    await scene.settle([...first.held, ...second.held]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(1, 'of ten calls of next() at once, on an iterator each, every one gets a message of its own', async (scene) => {
    const queue = await scene.open();
    const calls = upTo(10).map(() => scene.consume(queue).next());
    await scene.publish(queue, upTo(10));
    const results = await scene.within('ten calls of next() to resolve', Promise.all(calls));
    const numbers = results.map(({ value }) => numberOf(value as object)).toSorted((a, b) => a - b);
    assert.deepEqual(numbers, upTo(10));
  }),

  rule(1, 'thousands of messages over fifty consumers arrive once each', async (scene) => {
    const queue = await scene.open();
    const takers = upTo(50).map(() => scene.take(queue, { prefetch: 8 }, acking));
    const count = scene.scaled(5000);
    await scene.publish(queue, upTo(count));
    await eachOnce(scene, queue, takers, count);
  }),

  rule(1, 'two backends on one queue share its messages', { shared: true }, async (scene) => {
    const name = scene.newName();
    const backends = [await scene.open({ name }), await scene.open({ name })] as const;
    const takers = backends.map((backend) => scene.take(backend, { prefetch: 4 }, working));
    await Promise.all([scene.publish(backends[0], upTo(30)), scene.publish(backends[1], upTo(60).slice(30))]);
    await eachOnce(scene, backends[0], takers, 60);
  }),

  rule(1, 'twenty queues keep their messages apart', async (scene) => {
    const queues = await Promise.all(upTo(20).map(() => scene.open()));
    const takers = queues.map((queue) => scene.take(queue, {}, acking));
    await Promise.all(queues.map((queue, index) => scene.publish(queue, [index * 2, index * 2 + 1])));
    for (const [index, taker] of takers.entries()) await scene.gets(taker, [index * 2, index * 2 + 1]);
  }),

  rule(1, 'queues of similar names keep their messages apart', async (scene) => {
    const name = scene.newName();
    const names = [
      name,
      `${name}.`,
      `${name}:`,
      `${name}:default`,
      `${name}.default`,
      `${name}-1`,
      `${name}*`,
      `${name}>`,
      `${name} `,
      `{${name}}`,
      `${name}é`,
    ];
    const queues: QueueBackend[] = [];
    for (const similar of names) queues.push(await scene.open({ name: similar }));
    for (const [index, queue] of queues.entries()) await scene.publish(queue, [index]);
    for (const [index, queue] of queues.entries()) {
      await scene.gets(scene.take(queue, {}, acking), [index]);
      await scene.counts(queue, { unfinished: 0 });
    }
  }),
];
