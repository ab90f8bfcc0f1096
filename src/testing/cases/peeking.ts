import assert from 'node:assert/strict';
import type { ManagedQueue, MessageView, PeekOptions } from '../../backend.js';
import { ConfigurationError, UnsupportedOperationError } from '../../errors.js';
import { type CaseContext, HOUR, plain, present, rejectionOf, upTo } from '../case-context.js';
import { admin, type Definition } from '../definition.js';
import { acking, numberOf } from '../test-consumer.js';

const GROUPS = ['billing', 'audit'] as const;
const [BILLING, AUDIT] = GROUPS.map((group) => ({ group })) as [{ readonly group: string }, { readonly group: string }];

/** How far the clock of a broker may be off, in milliseconds. */
const CLOCK_SKEW = 60_000;

const DEFAULT_LIMIT = 20;

function peek(t: CaseContext, queue: ManagedQueue, options?: PeekOptions): Promise<MessageView[]> {
  return t.within('peek() to resolve', queue.peek(options));
}

/** Waits until `peek()` shows just these numbers, in this order. */
async function shows(
  t: CaseContext,
  queue: ManagedQueue,
  numbers: readonly number[],
  options?: PeekOptions,
): Promise<readonly MessageView[]> {
  let views: readonly MessageView[] = [];
  const shown = () => views.map(({ payload }) => numberOf(payload)).join(' ');
  await t.until(
    () => `peek() to show [${numbers.join(' ')}], got [${shown()}]`,
    async () => {
      views = await peek(t, queue, options);
      return shown() === numbers.join(' ');
    },
  );
  return views;
}

/** Administration: looking at waiting messages. */
export const peeking: readonly Definition[] = [
  admin('peek() shows what a delivery will say, in order', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    assert.deepEqual(await peek(t, queue), [], 'Expected peek() of an empty queue to show nothing');
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
    const views = await shows(t, queue, upTo(4));
    for (const view of views) {
      assert.ok(
        view.publishedAt >= before && view.publishedAt <= after,
        `Expected a time in \`publishedAt\`, got ${view.publishedAt}`,
      );
      assert.equal(view.due, undefined, 'Expected no `due` for a message that is ready');
      t.isAttempt(view, 1);
    }
    assert.equal(views[3]?.id, 'id-4');
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, upTo(4));
    const said = ({ id, key, payload, headers, publishedAt }: MessageView) => ({
      id,
      key,
      payload: plain(payload),
      headers: { ...headers },
      publishedAt,
    });
    assert.deepEqual(views.map(said), consumer.deliveries.map(said), 'Expected peek() to show what the deliveries say');
  }),

  admin('peek() takes nothing: a consumer then gets all messages, with attempt 1', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, upTo(5));
    for (let call = 0; call < 5; call++) await shows(t, queue, upTo(5));
    await t.counts(queue, { ready: 5, unfinished: 5 });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, upTo(5));
    for (const delivery of consumer.deliveries) t.isAttempt(delivery, 1);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 });
    await shows(t, queue, []);
  }),

  admin('peek() does not disturb a running consumer', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    const count = t.scaled(300);
    const consumer = t.addConsumer(queue, { prefetch: 4 }, acking);
    const published = t.publish(queue, upTo(count));
    for (let call = 0; call < 10; call++) await peek(t, queue);
    await published;
    await t.receivesExactly(consumer, upTo(count));
    for (const delivery of consumer.deliveries) t.isAttempt(delivery, 1);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  admin('peek() shows no message that is in flight or settled', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, upTo(6));
    const consumer = t.addConsumer(queue, { prefetch: 4 });
    await t.receivesExactly(consumer, upTo(4));
    await shows(t, queue, [5, 6]);
    await t.settle([consumer.of(2)]);
    await t.receivesExactly(consumer, upTo(5));
    await t.settle([consumer.of(4)], 'reject');
    await t.receivesExactly(consumer, upTo(6));
    await shows(t, queue, []);
    consumer.unsubscribe();
    await shows(t, queue, [1, 3, 5, 6]);
  }),

  admin('peek() shows a requeued message in its place, with the next attempt', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    const controller = new AbortController();
    await t.publish(queue, upTo(4));
    const consumer = t.addConsumer(queue, { prefetch: 3, signal: controller.signal });
    await t.receivesExactly(consumer, [1, 2, 3]);
    // The intake stops, so that what is requeued waits.
    controller.abort();
    await t.settle([consumer.of(1)], 'nack');
    await t.settle([consumer.of(2)], 'release');
    const views = await shows(t, queue, [1, 2, 4]);
    t.isAttempt(views[0], 2);
    t.isAttempt(views[2], 1);
    if (t.capabilities.release === 'uncounted') t.isAttempt(views[1], 1);
    await t.within('nack() to resolve', consumer.of(3).nack({ delay: HOUR }));
    const [, , , delayed] = await shows(t, queue, [1, 2, 4, 3]);
    t.isAttempt(delayed, 2);
    assert.equal(delayed?.id, consumer.of(3).id);
    assert.ok(delayed?.due !== undefined, 'Expected `due` for a message that was nacked with a delay');
  }),

  admin('peek() shows delayed messages after those that are ready, by `due`', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    const before = Date.now();
    await t.publish(queue, [1], { delay: 3 * HOUR });
    await t.publish(queue, [2]);
    await t.publish(queue, [3], { delay: HOUR, headers: { 'Trace-Id': 't-3' } });
    await t.publish(queue, [4], { delay: 2 * HOUR });
    await t.publish(queue, [5]);
    const after = Date.now();
    const views = await shows(t, queue, [2, 5, 3, 4, 1]);
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
      t.isAttempt(views[index], 1);
    }
    assert.deepEqual({ ...views[2]?.headers }, { 'Trace-Id': 't-3' });
    await shows(t, queue, [2, 5, 3], { limit: 3 });
    await t.counts(queue, { ready: 2, unfinished: 5 });
  }),

  admin('peek() shows a message that became due without `due`', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1], { delay: 100 });
    await t.publish(queue, [2]);
    await t.counts(queue, { ready: 2, unfinished: 2 });
    let views: readonly MessageView[] = [];
    await t.until(
      () => `peek() to show 1 and 2 without \`due\`, got ${JSON.stringify(views)}`,
      async () => {
        views = await peek(t, queue);
        return views.length === 2 && views.every(({ due }) => due === undefined);
      },
    );
    const consumer = t.addConsumer(queue, {}, acking);
    await t.receives(consumer, 2);
    const numbers = views.map(({ payload }) => numberOf(payload));
    assert.deepEqual(consumer.numbers, numbers, 'Expected deliveries in the order that peek() showed');
  }),

  admin('peek() shows `limit` messages at most, 20 by default', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, upTo(25));
    await shows(t, queue, upTo(DEFAULT_LIMIT));
    await shows(t, queue, upTo(DEFAULT_LIMIT), {});
    await shows(t, queue, [1], { limit: 1 });
    await shows(t, queue, upTo(25), { limit: 25 });
    await shows(t, queue, upTo(25), { limit: 1000 });
  }),

  admin('peek() shows a thousand messages, in order', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    const count = t.scaled(1500);
    await t.publish(queue, upTo(count));
    await shows(t, queue, upTo(count), { limit: count + 1 });
  }),

  admin('peek() refuses an invalid limit', { peek: true }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1]);
    for (const limit of [0, -1, 1.5, Number.NaN, '5' as unknown as number]) {
      const refused = rejectionOf(`peek() with a limit of ${limit}`, queue.peek({ limit }));
      const error = (await t.within('peek() to reject', refused)) as Error;
      assert.ok(
        (error.name === 'TypeError' || error.name === 'RangeError') && error.message.includes('limit'),
        `Expected a TypeError or RangeError that names the limit, got ${String(error)}`,
      );
    }
  }),

  admin('peek() shows the messages of one group', { peek: true, groups: 'separate' }, async (t) => {
    const queue = await t.openManaged({ groups: GROUPS });
    await t.publish(queue, [1]);
    await t.publish(queue, [2], AUDIT);
    await t.publish(queue, [3]);
    await t.publish(queue, [4], BILLING);
    await t.publish(queue, [5], { ...BILLING, delay: HOUR });
    await t.publish(queue, [6], { delay: 2 * HOUR });
    await shows(t, queue, [1, 3, 4, 5, 6], BILLING);
    await shows(t, queue, [1, 2, 3, 6], AUDIT);
    const billing = t.addConsumer(queue, { ...BILLING, prefetch: 2 });
    await t.receivesExactly(billing, [1, 3]);
    await t.settle([billing.of(1)], 'reject');
    await t.receivesExactly(billing, [1, 3, 4]);
    await shows(t, queue, [5, 6], BILLING);
    await shows(t, queue, [1, 2, 3, 6], AUDIT);
    for (const view of await peek(t, queue, AUDIT)) t.isAttempt(view, 1);
  }),

  admin(
    'peek() for a group that was not declared is refused with a ConfigurationError',
    { peek: true, groups: 'separate' },
    async (t) => {
      const queue = await t.openManaged({ groups: GROUPS });
      for (const options of [undefined, { group: 'late' }]) {
        const refused = rejectionOf('peek() for an undeclared group', queue.peek(options));
        const error = await t.within('peek() to reject', refused);
        assert.ok(ConfigurationError.is(error), `Expected a ConfigurationError, got ${String(error)}`);
      }
      await t.counts(queue, { ready: 0, unfinished: 0 });
    },
  ),

  admin('peek() that the engine cannot do rejects with an UnsupportedOperationError', { peek: false }, async (t) => {
    const queue = await t.openManaged();
    await t.publish(queue, [1]);
    const error = await t.within('peek() to reject', rejectionOf('peek()', queue.peek()));
    assert.ok(UnsupportedOperationError.is(error), `Expected an UnsupportedOperationError, got ${String(error)}`);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1]);
    t.isAttempt(consumer.of(1), 1);
  }),
];
