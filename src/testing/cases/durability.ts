import assert from 'node:assert/strict';
import type { Delivery } from '../../backend.js';
import { plain, present, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking, type TestConsumer } from '../test-consumer.js';

/** How far the clock of a broker may be off, in milliseconds. */
const CLOCK_SKEW = 60_000;

const UNUSUAL_STRINGS = [
  ' ',
  'a/b.c:d*#>',
  'two words',
  'é',
  '😀',
  '\u0000',
  'line\nbreak',
  '\r\n',
  '"quoted\\"',
  '__proto__',
  'constructor',
  '\u2028',
  '%20',
  '{}',
  'Mixed Case',
  'mixed case',
];

/** Values of payloads that a wire format may lose. */
const VALUES = {
  none: null,
  no: false,
  zero: 0,
  '': '',
  list: [],
  lists: [[], [[]], [null]],
  object: {},
  numbers: [
    0.1234567890123456,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    1e21,
    5e-324,
    Number.MAX_VALUE,
    -1.5e-7,
  ],
};

/** Each of these requeues a message. */
const REQUEUE: readonly ((delivery: Delivery, consumer: TestConsumer) => unknown)[] = [
  (delivery) => delivery.nack(),
  (delivery) => delivery.release(),
  (delivery) => delivery.nack({ delay: 20 }),
  (_, consumer) => consumer.unsubscribe(),
];

/** Rule 2: every message arrives, complete. */
export const durability: readonly Definition[] = [
  rule(2, 'messages published before any consumer subscribes are delivered later, in order', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(20));
    await t.counts(queue, { ready: 20, unfinished: 20 });
    await t.receivesExactly(t.addConsumer(queue, {}, acking), upTo(20));
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(2, 'a hundred messages arrive with key, payload, headers, id and publish time', async (t) => {
    const queue = await t.open();
    const consumer = t.addConsumer(queue, { prefetch: 100 });
    const before = Date.now() - CLOCK_SKEW;
    for (const n of upTo(100)) {
      await queue.publish(
        `orders.${n % 7}`,
        { ...VALUES, n, deep: [{ text: `é${n}`, none: null, yes: true, half: 0.5 }] },
        { headers: { trace: `t-${n}`, empty: '' } },
      );
    }
    await t.receivesExactly(consumer, upTo(100));
    const after = Date.now() + CLOCK_SKEW;
    for (const [index, delivery] of consumer.deliveries.entries()) {
      const n = index + 1;
      assert.equal(delivery.key, `orders.${n % 7}`);
      assert.deepEqual(plain(delivery.payload), {
        ...VALUES,
        n,
        deep: [{ text: `é${n}`, none: null, yes: true, half: 0.5 }],
      });
      assert.deepEqual({ ...delivery.headers }, { trace: `t-${n}`, empty: '' });
      assert.equal(delivery.queue, queue.name);
      assert.equal(delivery.settled, false);
      assert.ok(
        delivery.publishedAt >= before && delivery.publishedAt <= after,
        `Expected a time in \`publishedAt\`, got ${delivery.publishedAt}`,
      );
      t.isAttempt(delivery, 1);
    }
    const ids = new Set(consumer.deliveries.map(({ id }) => id));
    assert.equal(ids.size, 100, 'Expected a different `id` for each message');
    assert.ok([...ids].every((id) => typeof id === 'string' && id !== ''));
  }),

  rule(2, 'unusual characters in keys, headers and payloads arrive unchanged', async (t) => {
    const queue = await t.open();
    const consumer = t.addConsumer(queue, { prefetch: 100 });
    const keys = [...UNUSUAL_STRINGS, 'k'.repeat(255), `${'é'.repeat(127)}a`];
    const headers = JSON.parse(
      `{${UNUSUAL_STRINGS.map((text, index) => `${JSON.stringify(text)}:${JSON.stringify(UNUSUAL_STRINGS.at(-index - 1))}`)}}`,
    );
    const payload = JSON.parse(JSON.stringify({ n: 0, strings: UNUSUAL_STRINGS }));
    for (const key of keys) await queue.publish(key, payload, { headers });
    await t.receives(consumer, keys.length);
    assert.deepEqual(
      consumer.deliveries.map(({ key }) => key),
      keys,
    );
    for (const delivery of consumer.deliveries) {
      assert.deepEqual(plain(delivery.payload), payload);
      assert.deepEqual(Object.entries(delivery.headers).toSorted(), Object.entries(headers).toSorted());
    }
  }),

  rule(2, 'a payload of 100 kB arrives complete', async (t) => {
    const queue = await t.open();
    const payload = { n: 1, text: 'é'.repeat(50_000) };
    await queue.publish('large', payload);
    const consumer = t.addConsumer(queue);
    await t.receives(consumer, 1);
    assert.deepEqual(plain(consumer.of(1).payload), payload);
  }),

  rule(2, 'a redelivered message has the same id, publish time, key, headers and payload', async (t) => {
    const queue = await t.open();
    const message = { key: 'Orders.New', payload: { ...VALUES, n: 1 }, headers: { 'Trace-Id': 't-1', empty: '' } };
    await queue.publish(message.key, message.payload, { headers: message.headers });
    let consumer = t.addConsumer(queue, { prefetch: 1 });
    const ids = new Set<string>();
    const times = new Set<number>();
    for (const requeue of [...REQUEUE, ...REQUEUE, () => {}]) {
      await t.until('the redelivery', () => consumer.inFlight.length > 0);
      const delivery = present(consumer.inFlight[0]);
      const { id, publishedAt, key, payload, headers } = delivery;
      ids.add(id);
      times.add(publishedAt);
      assert.deepEqual(
        { key, payload: plain(payload), headers: { ...headers } },
        message,
        'Expected the same message on every delivery',
      );
      await t.within('the requeue', Promise.resolve(requeue(delivery, consumer)));
      if (consumer.unsubscribed) consumer = t.addConsumer(queue, { prefetch: 1 });
    }
    assert.equal(ids.size, 1, `Expected one \`id\` for one message, got ${[...ids].join(', ')}`);
    assert.equal(times.size, 1, `Expected one \`publishedAt\` for one message, got ${[...times].join(', ')}`);
  }),

  rule(2, 'no message is lost when consumers join and leave', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(40));
    const done: number[] = [];
    while (done.length < 40) {
      const consumer = t.addConsumer(queue, { prefetch: 5 });
      await t.receives(consumer, Math.min(5, 40 - done.length));
      const finished = consumer.inFlight.slice(0, 3);
      await t.settle(finished);
      done.push(...finished.map(({ payload }) => (payload as { n: number }).n));
      consumer.unsubscribe();
      await t.counts(queue, { ready: 40 - done.length, unfinished: 40 - done.length });
    }
    assert.deepEqual(done, upTo(40));
  }),

  rule(2, 'messages survive the backend that published them, delayed ones too', { shared: true }, async (t) => {
    const { value: name } = await t.inTime(async (delay) => {
      const name = t.newName();
      const first = await t.open({ name });
      await t.publish(first, [1], { delay });
      await t.publish(first, upTo(10).slice(1));
      await first.close();
      return name;
    });
    const second = await t.open({ name });
    await t.receivesExactly(t.addConsumer(second, { prefetch: 20 }), [...upTo(10).slice(1), 1]);
  }),

  rule(2, 'messages in flight at close() are redelivered to another backend', { shared: true }, async (t) => {
    const name = t.newName();
    const first = await t.open({ name });
    await t.publish(first, upTo(5));
    const holder = t.addConsumer(first, { prefetch: 3 });
    await t.receivesExactly(holder, [1, 2, 3]);
    await t.settle([holder.of(2)]);
    await t.receives(holder, 4);
    await first.close();
    const second = await t.open({ name });
    await t.counts(second, { ready: 4, unfinished: 4 });
    const consumer = t.addConsumer(second);
    await t.receivesExactly(consumer, [1, 3, 4, 5]);
    for (const n of [1, 3, 4]) t.isAttempt(consumer.of(n), 2);
    t.isAttempt(consumer.of(5), 1);
  }),

  rule(2, 'a failed message is redelivered until its dead letter is published', async (t) => {
    const queue = await t.open();
    const dead = await t.open();
    const attempts: number[] = [];
    // The consumer gives up after three attempts. Its first dead letter cannot be published.
    const deadLetter = (delivery: Delivery) => {
      if (attempts.length === 3) return Promise.reject(new Error('The dead-letter queue is unavailable'));
      return dead.publish(delivery.key, delivery.payload);
    };
    const consumer = t.addConsumer(queue, { prefetch: 1 }, async (delivery) => {
      attempts.push(delivery.attempt);
      if (attempts.length < 3) return delivery.nack();
      try {
        await deadLetter(delivery);
      } catch {
        return delivery.release();
      }
      return delivery.reject('given up');
    });
    await t.publish(queue, [7, 8]);
    await t.receivesExactly(t.addConsumer(dead, {}, acking), [7, 8]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
    assert.deepEqual(consumer.numbers.slice(0, 4), [7, 7, 7, 7]);
    assert.ok(
      (attempts[1] as number) > (attempts[0] as number) && (attempts[2] as number) > (attempts[1] as number),
      'Expected rising attempts',
    );
  }),
];
