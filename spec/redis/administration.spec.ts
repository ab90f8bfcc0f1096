import type { RedisBackend } from 'sluice/redis';
import { queueKeys } from '../../src/redis/keys.js';
import { purgeDelayedScript } from '../../src/redis/scripts/index.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

describeWithRedis('Administration of a Redis queue', () => {
  const suite = new RedisSuite();

  const publish = async (queue: RedisBackend, numbers: readonly number[], options?: object) => {
    for (const n of numbers) await queue.publish('key', { n }, options);
  };

  const shown = async (queue: RedisBackend, group: string, limit = 100) =>
    (await queue.peek({ group, limit })).map(({ payload, attempt, due }) => {
      const { n } = payload as { n: number };
      return due === undefined ? [n, attempt] : [n, attempt, 'delayed'];
    });

  /** A consumer that has stopped its intake, so that requeued messages stay in the queue. */
  const stoppedHolder = async (queue: RedisBackend, count: number, group?: string) => {
    const controller = new AbortController();
    const holder = new Holder(queue, { prefetch: count, group, signal: controller.signal });
    await eventually(() => holder.deliveries.length === count);
    controller.abort();
    return holder;
  };

  it('lists the groups of all processes with their counts and consumers', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await publish(queue, [1, 2]);
    await publish(queue, [3], { group: 'a' });
    await publish(queue, [4], { delay: HOUR });
    const holder = new Holder(queue, { group: 'a', prefetch: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const other = suite.open({ groups: ['a'] });
    expect((await other.groups()).toSorted((one, other) => (one.name < other.name ? -1 : 1))).toEqual([
      { name: 'a', declared: true, ready: 2, unfinished: 4, consumers: 1 },
      { name: 'b', declared: false, ready: 2, unfinished: 3, consumers: 0 },
    ]);
  });

  it('peeks at waiting messages in order, with the attempt of their next delivery', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await publish(queue, [1, 2, 3, 4, 5]);
    await publish(queue, [6], { group: 'b' });
    await queue.publish('key', { n: 7 }, { id: 'seven', headers: { h: 'x' } });
    const before = Date.now();
    await publish(queue, [8], { delay: 2 * HOUR });
    await publish(queue, [9], { delay: HOUR, group: 'b' });
    await queue.publish('late', { n: 10 }, { id: 'ten', delay: HOUR });
    const holder = await stoppedHolder(queue, 4, 'a');
    await holder.of(1).nack();
    await holder.of(2).release();
    await holder.of(3).nack({ delay: 3 * HOUR });
    const expected = [
      [1, 2],
      [2, 1],
      [5, 1],
      [7, 1],
      [10, 1, 'delayed'],
      [8, 1, 'delayed'],
      [3, 2, 'delayed'],
    ];
    expect(await shown(queue, 'a')).toEqual(expected);
    for (const limit of [1, 2, 3, 5, 6]) expect(await shown(queue, 'a', limit)).toEqual(expected.slice(0, limit));
    expect((await shown(queue, 'b')).map(([n]) => n)).toEqual([1, 2, 3, 4, 5, 6, 7, 9, 10, 8]);
    const views = await queue.peek({ group: 'a' });
    expect(views[3]).toEqual({
      id: 'seven',
      key: 'key',
      payload: { n: 7 },
      headers: { h: 'x' },
      attempt: 1,
      publishedAt: expect.any(Number),
    });
    expect(views[4]).toMatchObject({ id: 'ten', key: 'late', due: expect.any(Number) });
    expect(Math.abs((views[4]?.due ?? 0) - before - HOUR)).toBeLessThan(HOUR / 2);
    expect(views[6]?.id).toBe(holder.of(3).id);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 4, unfinished: 8 });
  });

  it('shows a message as ready once it is due', async () => {
    const queue = suite.open();
    await publish(queue, [1], { delay: 20 });
    await eventually(async () => JSON.stringify(await shown(queue, 'default')) === '[[1,1]]');
  });

  it('purges waiting messages but not those in flight, and counts each message once', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await publish(queue, upTo(2500));
    await publish(queue, [1], { group: 'b' });
    await publish(queue, [2, 3], { delay: HOUR });
    await publish(queue, [4], { delay: HOUR, group: 'a' });
    const holder = await stoppedHolder(queue, 4, 'a');
    await holder.of(1).nack();
    await holder.of(2).nack({ delay: HOUR });
    expect(await queue.purge()).toBe(2504);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 2 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 2 });
    expect(await suite.length()).toBe(2);
    expect(await queue.purge()).toBe(0);
    expect(await Promise.all([holder.of(3).ack(), holder.of(4).ack()])).toEqual([true, true]);
    await publish(queue, [5]);
    const next = new Holder(queue, { group: 'a' }, (delivery) => void delivery.ack());
    const other = new Holder(queue, { group: 'b' }, (delivery) => void delivery.ack());
    await eventually(() => next.deliveries.length === 1 && other.deliveries.length === 1);
    expect([next.attempts, other.attempts]).toEqual([[[5, 1]], [[5, 1]]]);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(await suite.keys()).toEqual(['', 'bell']);
  });

  it('purges one group and leaves the messages of the other groups', async () => {
    const queue = suite.open({ groups: ['a', 'b', 'c'] });
    await publish(queue, [1, 2]);
    await publish(queue, [3], { group: 'a' });
    await publish(queue, [4], { group: 'b' });
    await publish(queue, [5], { delay: 200, id: 'five' });
    await publish(queue, [6], { delay: HOUR, group: 'a' });
    await publish(queue, [7], { delay: HOUR, group: 'b' });
    expect(await queue.purge({ group: 'a' })).toBe(5);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 0 });
    expect((await queue.stats({ group: 'b' })).unfinished).toBe(5);
    expect((await queue.stats({ group: 'c' })).unfinished).toBe(3);
    const [b, c] = ['b', 'c'].map((group) => new Holder(queue, { group, prefetch: 9 }, (each) => void each.ack()));
    await eventually(() => b?.deliveries.length === 4 && c?.deliveries.length === 3);
    expect(b?.attempts.map(([n]) => n)).toEqual([1, 2, 4, 5]);
    expect(c?.attempts.map(([n]) => n)).toEqual([1, 2, 5]);
    expect(c?.deliveries[2]?.id).toBe('five');
    await eventually(async () => (await queue.stats()).unfinished === 1);
    expect(await suite.length()).toBe(0);
  });

  it('purges every delayed message of a group while those of other groups become due', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const publishAll = (count: number, options: object) =>
      Promise.all(upTo(count).map((n) => queue.publish('key', { n }, options)));
    await publishAll(1200, { group: 'b', delay: HOUR });
    await publishAll(600, { group: 'a', delay: 2 * HOUR });
    await publishAll(600, { group: 'b', delay: 3 * HOUR });
    await publishAll(600, { group: 'a', delay: 4 * HOUR });
    const { stream, delayed, addressed } = queueKeys(suite.name);
    let removed = 0;
    for (let offset = 0; offset >= 0; ) {
      const command = purgeDelayedScript.byText([stream, delayed, addressed], [String(offset), 'a']);
      const [count, next] = (await suite.run(...command)) as [count: number, next: number];
      removed += count;
      offset = next;
      // What becomes due leaves from the front.
      await suite.run('ZREMRANGEBYRANK', delayed, '0', '299');
    }
    expect(removed).toBe(1200);
  });

  it('deletes a group and the messages that only this group retained', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await publish(queue, upTo(1200));
    await publish(queue, [1], { group: 'b' });
    await publish(queue, [2], { group: 'b', delay: HOUR });
    await publish(queue, [3], { delay: HOUR });
    const b = await stoppedHolder(queue, 2, 'b');
    await b.of(1).nack();
    await b.of(2).nack({ delay: HOUR });
    const a = new Holder(queue, { group: 'a', prefetch: 100 }, (each) => void (each !== a.deliveries[0] && each.ack()));
    await eventually(async () => (await queue.stats({ group: 'a' })).unfinished === 2);
    await queue.close();
    const admin = suite.open({ groups: ['a'] });
    expect(await suite.length()).toBe(1201);
    expect(await admin.deleteGroup('b')).toBe(true);
    expect(await admin.deleteGroup('b')).toBe(false);
    expect(await suite.length()).toBe(1);
    expect((await admin.groups()).map(({ name, unfinished }) => [name, unfinished])).toEqual([['a', 2]]);
    expect(await suite.keys()).toEqual(['', 'bell', 'delayed', 'returned:a']);
    expect(await admin.stats()).toEqual({ ready: 1, unfinished: 2 });
  });
});
