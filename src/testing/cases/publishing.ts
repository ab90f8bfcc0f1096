import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import type { PublishOptions } from '../../backend.js';
import { HOUR, plain, rejectionOf, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking } from '../test-consumer.js';

/** Rule 4: `publish()`. */
export const publishing: readonly Definition[] = [
  rule(4, 'a message is in the queue when its publish() resolves', async (t) => {
    const queue = await t.open();
    for (const n of upTo(5)) {
      await t.publish(queue, [n]);
      await t.counts(queue, { ready: n, unfinished: n });
    }
    await t.publish(queue, [6], { delay: HOUR });
    await t.counts(queue, { ready: 5, unfinished: 6 });
  }),

  rule(4, 'ten thousand concurrent publishes all arrive, in order', async (t) => {
    const queue = await t.open();
    const count = t.scaled(10_000);
    const consumer = t.addConsumer(queue, { prefetch: 256 }, acking);
    await t.publish(queue, upTo(count));
    await t.receivesExactly(consumer, upTo(count));
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(4, 'a publish with an aborted signal rejects with its reason and enqueues nothing', async (t) => {
    const queue = await t.open();
    const reason = new Error('off');
    const published = queue.publish('number', { n: 1 }, { signal: AbortSignal.abort(reason) });
    assert.equal(
      await t.within('publish() to reject', rejectionOf('publish() with an aborted signal', published)),
      reason,
    );
    await t.publish(queue, [2]);
    await t.receivesExactly(t.addConsumer(queue), [2]);
    await t.counts(queue, { unfinished: 1 });
  }),

  rule(
    4,
    'a publish that is aborted while it runs either resolves and is enqueued, or rejects with the reason and is not',
    async (t) => {
      const queue = await t.open();
      const enqueued: number[] = [];
      for (const n of upTo(10)) {
        const controller = new AbortController();
        const published = queue.publish('number', { n }, { signal: controller.signal });
        controller.abort(n);
        await t.within(
          'publish() to settle',
          published.then(
            () => enqueued.push(n),
            (reason: unknown) => assert.equal(reason, n, 'Expected an aborted publish to reject with `signal.reason`'),
          ),
        );
      }
      await t.publish(queue, [11]);
      await t.receivesExactly(t.addConsumer(queue), [...enqueued, 11]);
    },
  ),

  rule(4, 'an abort after publish() has resolved changes nothing', async (t) => {
    const queue = await t.open();
    const controller = new AbortController();
    await t.publish(queue, [1], { signal: controller.signal });
    await t.publish(queue, [2], { signal: controller.signal, delay: 50 });
    controller.abort();
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1, 2]);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(12, 'a finished publish leaves no listener on its signal', async (t) => {
    const queue = await t.open();
    const { signal } = new AbortController();
    for (const n of upTo(20)) await t.publish(queue, [n], { signal });
    await rejectionOf('publish() of an empty key', queue.publish('', {}, { signal }));
    await t.until('the listeners of publish() to be removed', () => getEventListeners(signal, 'abort').length === 0);
  }),

  rule(4, 'publish() copies its headers and options before it returns', async (t) => {
    const queue = await t.open();
    const headers: Record<string, string> = { trace: 'before' };
    const options: { -readonly [Name in keyof PublishOptions]: PublishOptions[Name] } = { headers };
    const published = queue.publish('number', { n: 1 }, options);
    headers.trace = 'after';
    headers.more = 'x';
    options.delay = HOUR;
    await t.within('publish() to resolve', published);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1]);
    assert.deepEqual({ ...consumer.of(1).headers }, { trace: 'before' });
  }),

  rule(
    4,
    'publish() copies its payload before it returns, and each consumer gets its own copy',
    { validation: 'json' },
    async (t) => {
      const queue = await t.open();
      const payload = { n: 1, list: [{ n: 1 }] };
      const published = queue.publish('number', payload);
      payload.list.push({ n: 2 });
      Object.assign(payload.list[0] as object, { n: 99 });
      await t.within('publish() to resolve', published);
      const consumer = t.addConsumer(queue);
      await t.receivesExactly(consumer, [1]);
      assert.deepEqual(plain(consumer.of(1).payload), { n: 1, list: [{ n: 1 }] });
      Object.assign(consumer.of(1).payload, { n: 99 });
      await t.settle(consumer.inFlight, 'nack');
      await t.receives(consumer, 2);
      assert.deepEqual(plain(consumer.deliveries[1]?.payload), { n: 1, list: [{ n: 1 }] });
    },
  ),

  rule(4, 'an invalid delay is refused, and nothing is enqueued', async (t) => {
    const queue = await t.open();
    for (const delay of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number]) {
      const error = await t.within(
        'publish() to reject',
        rejectionOf(`publish() with a delay of ${delay}`, queue.publish('number', { n: 1 }, { delay })),
      );
      const { name } = error as Error;
      assert.ok(
        name === 'TypeError' || name === 'RangeError',
        `Expected a TypeError or RangeError for a delay of ${delay}, got ${String(error)}`,
      );
    }
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),
];
