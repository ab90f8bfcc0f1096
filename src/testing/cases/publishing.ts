import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import type { PublishOptions } from '../../backend.js';
import { type Definition, rule } from '../definition.js';
import { HOUR, plain, rejectionOf, upTo } from '../scene.js';
import { acking } from '../taker.js';

/** Rule 4. */
export const publishing: readonly Definition[] = [
  rule(4, 'what publish() has resolved for is in the queue', async (scene) => {
    const queue = await scene.open();
    for (const n of upTo(5)) {
      await scene.publish(queue, [n]);
      await scene.counts(queue, { ready: n, unfinished: n });
    }
    await scene.publish(queue, [6], { delay: HOUR });
    await scene.counts(queue, { ready: 5, unfinished: 6 });
  }),

  rule(4, 'ten thousand calls of publish() at once are all taken, in order', async (scene) => {
    const queue = await scene.open();
    const count = scene.scaled(10_000);
    const taker = scene.take(queue, { prefetch: 256 }, acking);
    await scene.publish(queue, upTo(count));
    await scene.gets(taker, upTo(count));
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(4, 'a publish whose signal was aborted before rejects with its reason, and enqueues nothing', async (scene) => {
    const queue = await scene.open();
    const reason = new Error('off');
    const published = queue.publish('number', { n: 1 }, { signal: AbortSignal.abort(reason) });
    assert.equal(
      await scene.within('publish() to reject', rejectionOf('publish() with an aborted signal', published)),
      reason,
    );
    await scene.publish(queue, [2]);
    await scene.gets(scene.take(queue), [2]);
    await scene.counts(queue, { unfinished: 1 });
  }),

  rule(
    4,
    'a publish that is aborted on its way either resolves and is taken, or rejects with the reason and is not',
    async (scene) => {
      const queue = await scene.open();
      const taken: number[] = [];
      for (const n of upTo(10)) {
        const controller = new AbortController();
        const published = queue.publish('number', { n }, { signal: controller.signal });
        controller.abort(n);
        await scene.within(
          'publish() to settle',
          published.then(
            () => taken.push(n),
            (reason: unknown) =>
              assert.equal(reason, n, 'Expected a publish that was aborted to reject with `signal.reason`'),
          ),
        );
      }
      await scene.publish(queue, [11]);
      await scene.gets(scene.take(queue), [...taken, 11]);
    },
  ),

  rule(4, 'an abort after publish() has resolved changes nothing', async (scene) => {
    const queue = await scene.open();
    const controller = new AbortController();
    await scene.publish(queue, [1], { signal: controller.signal });
    await scene.publish(queue, [2], { signal: controller.signal, delay: 50 });
    controller.abort();
    const taker = scene.take(queue);
    await scene.gets(taker, [1, 2]);
    await scene.settle(taker.held);
    await scene.counts(queue, { unfinished: 0 });
  }),

  rule(12, 'a publish that is over leaves no listener on its signal', async (scene) => {
    const queue = await scene.open();
    const { signal } = new AbortController();
    for (const n of upTo(20)) await scene.publish(queue, [n], { signal });
    await rejectionOf('publish() of an empty key', queue.publish('', {}, { signal }));
    await scene.until('the listeners of publish() to go', () => getEventListeners(signal, 'abort').length === 0);
  }),

  rule(4, 'headers and options belong to the caller again when publish() has returned', async (scene) => {
    const queue = await scene.open();
    const headers: Record<string, string> = { trace: 'before' };
    const options: { -readonly [Name in keyof PublishOptions]: PublishOptions[Name] } = { headers };
    const published = queue.publish('number', { n: 1 }, options);
    headers.trace = 'after';
    headers.more = 'x';
    options.delay = HOUR;
    await scene.within('publish() to resolve', published);
    const taker = scene.take(queue);
    await scene.gets(taker, [1]);
    assert.deepEqual({ ...taker.of(1).headers }, { trace: 'before' });
  }),

  rule(
    4,
    'the payload belongs to the caller again when publish() has returned, and each consumer has a copy of its own',
    { validation: 'json' },
    async (scene) => {
      const queue = await scene.open();
      const payload = { n: 1, list: [{ n: 1 }] };
      const published = queue.publish('number', payload);
      payload.list.push({ n: 2 });
      Object.assign(payload.list[0] as object, { n: 99 });
      await scene.within('publish() to resolve', published);
      const taker = scene.take(queue);
      await scene.gets(taker, [1]);
      assert.deepEqual(plain(taker.of(1).payload), { n: 1, list: [{ n: 1 }] });
      Object.assign(taker.of(1).payload, { n: 99 });
      await scene.settle(taker.held, 'nack');
      await scene.got(taker, 2);
      assert.deepEqual(plain(taker.deliveries[1]?.payload), { n: 1, list: [{ n: 1 }] });
    },
  ),

  rule(4, 'a delay without sense is refused, and nothing is enqueued', async (scene) => {
    const queue = await scene.open();
    for (const delay of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number]) {
      const error = await scene.within(
        'publish() to reject',
        rejectionOf(`publish() with a delay of ${delay}`, queue.publish('number', { n: 1 }, { delay })),
      );
      const { name } = error as Error;
      assert.ok(
        name === 'TypeError' || name === 'RangeError',
        `Expected a TypeError or RangeError for a delay of ${delay}, got ${String(error)}`,
      );
    }
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),
];
