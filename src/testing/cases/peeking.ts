import assert from 'node:assert/strict';
import type { ManagedQueue, MessageView, PeekOptions } from '../../backend.js';
import { ConfigurationError, UnsupportedOperationError } from '../../errors.js';
import { admin, type Definition } from '../definition.js';
import { HOUR, plain, present, rejectionOf, type Scene, upTo } from '../scene.js';
import { acking, numberOf } from '../taker.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/** How far the clock of a broker may be off, in milliseconds. */
const CLOCK_SKEW = 60_000;

const DEFAULT_LIMIT = 20;

function peek(scene: Scene, queue: ManagedQueue, options?: PeekOptions): Promise<MessageView[]> {
  return scene.within('peek() to resolve', queue.peek(options));
}

/** Waits until `peek()` shows just these numbers, in this order. */
async function shows(
  scene: Scene,
  queue: ManagedQueue,
  numbers: readonly number[],
  options?: PeekOptions,
): Promise<readonly MessageView[]> {
  let views: readonly MessageView[] = [];
  const shown = () => views.map(({ payload }) => numberOf(payload)).join(' ');
  await scene.until(
    () => `peek() to show [${numbers.join(' ')}], got [${shown()}]`,
    async () => {
      views = await peek(scene, queue, options);
      return shown() === numbers.join(' ');
    },
  );
  return views;
}

/** Administration: looking at waiting messages. */
export const peeking: readonly Definition[] = [
  admin('peek() shows what a delivery will say, in order', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    assert.deepEqual(await peek(scene, queue), [], 'Expected peek() of an empty queue to show nothing');
    const before = Date.now() - CLOCK_SKEW;
    for (const n of upTo(3)) {
      await queue.publish(
        `orders.${n}`,
        { n, deep: [{ text: `é${n}` }] },
        { headers: { 'Trace-Id': `t-${n}`, empty: '' } },
      );
    }
    await queue.publish('plain', { n: 4 }, { id: 'id-4' });
    const after = Date.now() + CLOCK_SKEW;
    const views = await shows(scene, queue, upTo(4));
    for (const view of views) {
      assert.ok(
        view.publishedAt >= before && view.publishedAt <= after,
        `Expected a time in \`publishedAt\`, got ${view.publishedAt}`,
      );
      assert.equal(view.due, undefined, 'Expected no `due` for a message that is ready');
      scene.isAttempt(view, 1);
    }
    assert.equal(views[3]?.id, 'id-4');
    const taker = scene.take(queue);
    await scene.gets(taker, upTo(4));
    const said = ({ id, key, payload, headers, publishedAt }: MessageView) => ({
      id,
      key,
      payload: plain(payload),
      headers: { ...headers },
      publishedAt,
    });
    assert.deepEqual(views.map(said), taker.deliveries.map(said), 'Expected peek() to show what the deliveries say');
  }),

  admin('peek() takes nothing: a consumer then gets all messages, with attempt 1', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, upTo(5));
    for (let call = 0; call < 5; call++) await shows(scene, queue, upTo(5));
    await scene.counts(queue, { ready: 5, unfinished: 5 });
    const taker = scene.take(queue);
    await scene.gets(taker, upTo(5));
    for (const delivery of taker.deliveries) scene.isAttempt(delivery, 1);
    await scene.settle(taker.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
    await shows(scene, queue, []);
  }),

  admin('peek() does not disturb a running consumer', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    const count = scene.scaled(300);
    const taker = scene.take(queue, { prefetch: 4 }, acking);
    const published = scene.publish(queue, upTo(count));
    for (let call = 0; call < 10; call++) await peek(scene, queue);
    await published;
    await scene.gets(taker, upTo(count));
    for (const delivery of taker.deliveries) scene.isAttempt(delivery, 1);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('peek() shows no message that is in flight or settled', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, upTo(6));
    const taker = scene.take(queue, { prefetch: 4 });
    await scene.gets(taker, upTo(4));
    await shows(scene, queue, [5, 6]);
    await scene.settle([taker.of(2)]);
    await scene.gets(taker, upTo(5));
    await scene.settle([taker.of(4)], 'reject');
    await scene.gets(taker, upTo(6));
    await shows(scene, queue, []);
    taker.leave();
    await shows(scene, queue, [1, 3, 5, 6]);
  }),

  admin('peek() shows a requeued message in its place, with the next attempt', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    const controller = new AbortController();
    await scene.publish(queue, upTo(4));
    const taker = scene.take(queue, { prefetch: 3, signal: controller.signal });
    await scene.gets(taker, [1, 2, 3]);
    // The intake stops, so that what is requeued waits.
    controller.abort();
    await scene.settle([taker.of(1)], 'nack');
    await scene.settle([taker.of(2)], 'release');
    const views = await shows(scene, queue, [1, 2, 4]);
    scene.isAttempt(views[0], 2);
    scene.isAttempt(views[2], 1);
    if (scene.capabilities.release === 'uncounted') scene.isAttempt(views[1], 1);
    await scene.within('nack() to resolve', taker.of(3).nack({ delay: HOUR }));
    const [, , , delayed] = await shows(scene, queue, [1, 2, 4, 3]);
    scene.isAttempt(delayed, 2);
    assert.equal(delayed?.id, taker.of(3).id);
    assert.ok(delayed?.due !== undefined, 'Expected `due` for a message that was nacked with a delay');
  }),

  admin('peek() shows delayed messages after those that are ready, by `due`', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    const before = Date.now();
    await scene.publish(queue, [1], { delay: 3 * HOUR });
    await scene.publish(queue, [2]);
    await scene.publish(queue, [3], { delay: HOUR, headers: { 'Trace-Id': 't-3' } });
    await scene.publish(queue, [4], { delay: 2 * HOUR });
    await scene.publish(queue, [5]);
    const after = Date.now();
    const views = await shows(scene, queue, [2, 5, 3, 4, 1]);
    for (const [index, hours] of [undefined, undefined, 1, 2, 3].entries()) {
      const { due, payload } = present(views[index]);
      const expected = `\`due\` of ${JSON.stringify(payload)}`;
      if (hours === undefined) assert.equal(due, undefined, `Expected no ${expected}`);
      else {
        const [earliest, latest] = [before + hours * HOUR - CLOCK_SKEW, after + hours * HOUR + CLOCK_SKEW];
        assert.ok(
          due !== undefined && due >= earliest && due <= latest,
          `Expected ${expected} in ${hours} h, got ${due}`,
        );
      }
      scene.isAttempt(views[index], 1);
    }
    assert.deepEqual({ ...views[2]?.headers }, { 'Trace-Id': 't-3' });
    await shows(scene, queue, [2, 5, 3], { limit: 3 });
    await scene.counts(queue, { ready: 2, unfinished: 5 });
  }),

  admin('peek() shows a message that became due without `due`', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, [1], { delay: 100 });
    await scene.publish(queue, [2]);
    await scene.counts(queue, { ready: 2, unfinished: 2 });
    let views: readonly MessageView[] = [];
    await scene.until(
      () => `peek() to show 1 and 2 without \`due\`, got ${JSON.stringify(views)}`,
      async () => {
        views = await peek(scene, queue);
        return views.length === 2 && views.every(({ due }) => due === undefined);
      },
    );
    const taker = scene.take(queue, {}, acking);
    await scene.got(taker, 2);
    const numbers = views.map(({ payload }) => numberOf(payload));
    assert.deepEqual(taker.numbers, numbers, 'Expected deliveries in the order that peek() showed');
  }),

  admin('peek() shows `limit` messages at most, 20 by default', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, upTo(25));
    await shows(scene, queue, upTo(DEFAULT_LIMIT));
    await shows(scene, queue, upTo(DEFAULT_LIMIT), {});
    await shows(scene, queue, [1], { limit: 1 });
    await shows(scene, queue, upTo(25), { limit: 25 });
    await shows(scene, queue, upTo(25), { limit: 1000 });
  }),

  admin('peek() shows a thousand messages, in order', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    const count = scene.scaled(1500);
    await scene.publish(queue, upTo(count));
    await shows(scene, queue, upTo(count), { limit: count + 1 });
  }),

  admin('peek() refuses an invalid limit', { peek: true }, async (scene) => {
    const queue = await scene.openManaged();
    await scene.publish(queue, [1]);
    for (const limit of [0, -1, 1.5, Number.NaN, '5' as unknown as number]) {
      const refused = rejectionOf(`peek() with a limit of ${limit}`, queue.peek({ limit }));
      const error = (await scene.within('peek() to reject', refused)) as Error;
      assert.ok(
        (error.name === 'TypeError' || error.name === 'RangeError') && error.message.includes('limit'),
        `Expected a TypeError or RangeError that names the limit, got ${String(error)}`,
      );
    }
  }),

  admin('peek() shows the messages of one group', { peek: true, groups: 'separate' }, async (scene) => {
    const queue = await scene.openManaged({ groups: GROUPS });
    await scene.publish(queue, [1]);
    await scene.publish(queue, [2], AUDIT);
    await scene.publish(queue, [3]);
    await scene.publish(queue, [4], BILLING);
    await scene.publish(queue, [5], { ...BILLING, delay: HOUR });
    await scene.publish(queue, [6], { delay: 2 * HOUR });
    await shows(scene, queue, [1, 3, 4, 5, 6], BILLING);
    await shows(scene, queue, [1, 2, 3, 6], AUDIT);
    const billing = scene.take(queue, { ...BILLING, prefetch: 2 });
    await scene.gets(billing, [1, 3]);
    await scene.settle([billing.of(1)], 'reject');
    await scene.gets(billing, [1, 3, 4]);
    await shows(scene, queue, [5, 6], BILLING);
    await shows(scene, queue, [1, 2, 3, 6], AUDIT);
    for (const view of await peek(scene, queue, AUDIT)) scene.isAttempt(view, 1);
  }),

  admin(
    'peek() for a group that was not declared is refused with a ConfigurationError',
    { peek: true, groups: 'separate' },
    async (scene) => {
      const queue = await scene.openManaged({ groups: GROUPS });
      for (const options of [undefined, { group: 'late' }]) {
        const refused = rejectionOf('peek() for an undeclared group', queue.peek(options));
        const error = await scene.within('peek() to reject', refused);
        assert.ok(ConfigurationError.is(error), `Expected a ConfigurationError, got ${String(error)}`);
      }
      await scene.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin(
    'peek() that the engine cannot do rejects with an UnsupportedOperationError',
    { peek: false },
    async (scene) => {
      const queue = await scene.openManaged();
      await scene.publish(queue, [1]);
      const error = await scene.within('peek() to reject', rejectionOf('peek()', queue.peek()));
      assert.ok(UnsupportedOperationError.is(error), `Expected an UnsupportedOperationError, got ${String(error)}`);
      const taker = scene.take(queue);
      await scene.gets(taker, [1]);
      scene.isAttempt(taker.of(1), 1);
    },
  ),
];
