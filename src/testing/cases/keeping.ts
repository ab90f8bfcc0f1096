import assert from 'node:assert/strict';
import type { Delivery } from '../../backend.js';
import { type Definition, rule } from '../definition.js';
import { plain, present, upTo } from '../scene.js';
import { acking, type Taker } from '../taker.js';

/** How far the clock of a broker may be off, in milliseconds. */
const CLOCK_SKEW = 60_000;

const ODD_STRINGS = [
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

/** What a payload may hold, and a format between here and there may lose. */
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

/** A message comes again in each of these ways. */
const WAYS_BACK: readonly ((delivery: Delivery, taker: Taker) => unknown)[] = [
  (delivery) => delivery.nack(),
  (delivery) => delivery.release(),
  (delivery) => delivery.nack({ delay: 20 }),
  (_, taker) => taker.leave(),
];

/** Rule 2: what was published arrives, whole, whoever comes and goes. */
export const keeping: readonly Definition[] = [
  rule(2, 'what is published first is consumed later, in order', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(20));
    await scene.counts(queue, { ready: 20, unfinished: 20 });
    await scene.gets(scene.take(queue, {}, acking), upTo(20));
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),

  rule(2, 'a hundred messages arrive with key, payload, headers, id and time', async (scene) => {
    const queue = await scene.open();
    const taker = scene.take(queue, { prefetch: 100 });
    const before = Date.now() - CLOCK_SKEW;
    for (const n of upTo(100)) {
      await queue.publish(
        `orders.${n % 7}`,
        { ...VALUES, n, deep: [{ text: `é${n}`, none: null, yes: true, half: 0.5 }] },
        { headers: { trace: `t-${n}`, empty: '' } },
      );
    }
    await scene.gets(taker, upTo(100));
    const after = Date.now() + CLOCK_SKEW;
    for (const [index, delivery] of taker.deliveries.entries()) {
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
      scene.isAttempt(delivery, 1);
    }
    const ids = new Set(taker.deliveries.map(({ id }) => id));
    assert.equal(ids.size, 100, 'Expected an `id` of its own for each message');
    assert.ok([...ids].every((id) => typeof id === 'string' && id !== ''));
  }),

  rule(2, 'keys, headers and strings in a payload may be odd, and arrive as they were sent', async (scene) => {
    const queue = await scene.open();
    const taker = scene.take(queue, { prefetch: 100 });
    const keys = [...ODD_STRINGS, 'k'.repeat(255), `${'é'.repeat(127)}a`];
    const headers = JSON.parse(
      `{${ODD_STRINGS.map((text, index) => `${JSON.stringify(text)}:${JSON.stringify(ODD_STRINGS.at(-index - 1))}`)}}`,
    );
    const payload = JSON.parse(JSON.stringify({ n: 0, strings: ODD_STRINGS }));
    for (const key of keys) await queue.publish(key, payload, { headers });
    await scene.got(taker, keys.length);
    assert.deepEqual(
      taker.deliveries.map(({ key }) => key),
      keys,
    );
    for (const delivery of taker.deliveries) {
      assert.deepEqual(plain(delivery.payload), payload);
      assert.deepEqual(Object.entries(delivery.headers).toSorted(), Object.entries(headers).toSorted());
    }
  }),

  rule(2, 'a payload of 100 kB arrives whole', async (scene) => {
    const queue = await scene.open();
    const payload = { n: 1, text: 'é'.repeat(50_000) };
    await queue.publish('large', payload);
    const taker = scene.take(queue);
    await scene.got(taker, 1);
    assert.deepEqual(plain(taker.of(1).payload), payload);
  }),

  rule(2, 'a message is the same on every delivery: id, time, key, headers and payload', async (scene) => {
    const queue = await scene.open();
    const message = { key: 'Orders.New', payload: { ...VALUES, n: 1 }, headers: { 'Trace-Id': 't-1', empty: '' } };
    await queue.publish(message.key, message.payload, { headers: message.headers });
    let taker = scene.take(queue, { prefetch: 1 });
    const ids = new Set<string>();
    const times = new Set<number>();
    for (const goBack of [...WAYS_BACK, ...WAYS_BACK, () => {}]) {
      await scene.until('the message to come again', () => taker.held.length > 0);
      const delivery = present(taker.held[0]);
      const { id, publishedAt, key, payload, headers } = delivery;
      ids.add(id);
      times.add(publishedAt);
      assert.deepEqual(
        { key, payload: plain(payload), headers: { ...headers } },
        message,
        'Expected the same message on every delivery',
      );
      await scene.within('the message to go back', Promise.resolve(goBack(delivery, taker)));
      if (taker.gone) taker = scene.take(queue, { prefetch: 1 });
    }
    assert.equal(ids.size, 1, `Expected one \`id\` for one message, got ${[...ids].join(', ')}`);
    assert.equal(times.size, 1, `Expected one \`publishedAt\` for one message, got ${[...times].join(', ')}`);
  }),

  rule(2, 'nothing is lost when consumers come and go in the middle of a stream', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(40));
    const done: number[] = [];
    while (done.length < 40) {
      const taker = scene.take(queue, { prefetch: 5 });
      await scene.got(taker, Math.min(5, 40 - done.length));
      const finished = taker.held.slice(0, 3);
      await scene.settle(finished);
      done.push(...finished.map(({ payload }) => (payload as { n: number }).n));
      taker.leave();
      await scene.counts(queue, { ready: 40 - done.length, unfinished: 40 - done.length });
    }
    assert.deepEqual(done, upTo(40));
  }),

  rule(2, 'messages outlive the backend that published them, delayed ones too', { shared: true }, async (scene) => {
    const { value: name } = await scene.inTime(async (delay) => {
      const name = scene.newName();
      const first = await scene.open({ name });
      await scene.publish(first, [1], { delay });
      await scene.publish(first, upTo(10).slice(1));
      await first.close();
      return name;
    });
    const second = await scene.open({ name });
    await scene.gets(scene.take(second, { prefetch: 20 }), [...upTo(10).slice(1), 1]);
  }),

  rule(2, 'what a backend had out when it was closed goes to another', { shared: true }, async (scene) => {
    const name = scene.newName();
    const first = await scene.open({ name });
    await scene.publish(first, upTo(5));
    const holder = scene.take(first, { prefetch: 3 });
    await scene.gets(holder, [1, 2, 3]);
    await scene.settle([holder.of(2)]);
    await scene.got(holder, 4);
    await first.close();
    const second = await scene.open({ name });
    await scene.counts(second, { ready: 4, unfinished: 4 });
    const taker = scene.take(second);
    await scene.gets(taker, [1, 3, 4, 5]);
    for (const n of [1, 3, 4]) scene.isAttempt(taker.of(n), 2);
    scene.isAttempt(taker.of(5), 1);
  }),

  rule(
    2,
    'a message that failed is kept until somebody is done with it, and ends where its consumer gives up',
    async (scene) => {
      const queue = await scene.open();
      const dead = await scene.open();
      const attempts: number[] = [];
      // As a consumer with dead letters does it: three attempts, then away with it. The first dead letter cannot be delivered.
      const deadLetter = (delivery: Delivery) => {
        if (attempts.length === 3) return Promise.reject(new Error('The queue of the dead letters is out of reach'));
        return dead.publish(delivery.key, delivery.payload);
      };
      const taker = scene.take(queue, { prefetch: 1 }, async (delivery) => {
        attempts.push(delivery.attempt);
        if (attempts.length < 3) return delivery.nack();
        try {
          await deadLetter(delivery);
        } catch {
          return delivery.release();
        }
        return delivery.reject('given up');
      });
      await scene.publish(queue, [7, 8]);
      await scene.gets(scene.take(dead, {}, acking), [7, 8]);
      await scene.counts(queue, { ready: 0, unfinished: 0 });
      assert.deepEqual(taker.numbers.slice(0, 4), [7, 7, 7, 7]);
      assert.ok(
        (attempts[1] as number) > (attempts[0] as number) && (attempts[2] as number) > (attempts[1] as number),
        'Expected rising attempts',
      );
    },
  ),
];
