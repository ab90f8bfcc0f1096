import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A message with an id', () => {
  const suite = new RedisSuite();

  const remembered = async () =>
    ((await suite.run('KEYS', suite.key('id:*'))) as string[]).map((key) => key.slice(suite.key('id:').length));

  it('has this id and its order on every delivery', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.publish('key', { n: 2 });
    await queue.publish('key', { n: 3 }, { id: 'three', headers: { a: 'b' } });
    const holder = new Holder(queue, { prefetch: 5 });
    await eventually(() => holder.deliveries.length === 3);
    expect(await holder.of(1).nack()).toBe(true);
    await eventually(() => holder.deliveries.length === 4);
    expect(holder.attempts).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [1, 2],
    ]);
    expect(holder.deliveries.map(({ id }) => id)).toEqual(['one', expect.stringMatching(/^\d+-\d+$/), 'three', 'one']);
    expect(holder.of(3).headers).toEqual({ a: 'b' });
    expect(await Promise.all(holder.deliveries.slice(1).map((delivery) => delivery.ack()))).toEqual([true, true, true]);
    expect(await suite.length()).toBe(0);
  });

  it('is stored once across all processes, also with a delay or for one group', async () => {
    const [queue, other] = [suite.open({ groups: ['a', 'b'] }), suite.open({ groups: ['a', 'b'] })];
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.publish('key', { n: 2 }, { id: 'late', delay: 20 });
    await queue.publish('key', { n: 3 }, { id: 'a only', group: 'a' });
    for (const each of [queue, other]) {
      await each.publish('key', { n: 4 }, { id: 'one' });
      await each.publish('key', { n: 5 }, { id: 'late' });
      await each.publish('key', { n: 6 }, { id: 'a only', delay: 10 });
    }
    const [a, b] = ['a', 'b'].map((group) => new Holder(queue, { group, prefetch: 9 }, (each) => void each.ack()));
    await eventually(() => a?.deliveries.length === 3 && b?.deliveries.length === 2);
    expect(a?.deliveries.map(({ id }) => id).toSorted()).toEqual(['a only', 'late', 'one']);
    expect(b?.deliveries.map(({ id }) => id)).toEqual(['one', 'late']);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect((await remembered()).toSorted()).toEqual(['a only', 'late', 'one']);
  });

  it('is stored again once the deduplication window is over', async () => {
    const queue = suite.open({ dedupeWindow: 100 });
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.publish('key', { n: 2 }, { id: 'one' });
    await eventually(async () => (await remembered()).length === 0);
    await queue.publish('key', { n: 3 }, { id: 'one' });
    const holder = new Holder(queue, { prefetch: 5 });
    await eventually(() => holder.deliveries.length === 2);
    // Both messages are in flight with the same id. Each is settled separately.
    expect(holder.attempts).toEqual([
      [1, 1],
      [3, 1],
    ]);
    expect(await holder.of(3).ack()).toBe(true);
    expect(await suite.pending()).toHaveLength(1);
    expect(await holder.of(1).ack()).toBe(true);
    expect(await suite.length()).toBe(0);
  });

  it('is stored once if its batch is resent', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.stats();
    const published = Promise.all(upTo(100).map((n) => queue.publish('key', { n }, { id: `id-${n % 50}` })));
    proxy.cut();
    await published;
    expect(await suite.length()).toBe(50);
  });

  it('is stored by a second publish if the first one failed', async () => {
    const rules = ['reset', 'on', '>secret', '+@all', '-xadd', '~*'];
    await suite.run('ACL', 'SETUSER', 'publisher', ...rules);
    suite.ending(() => suite.run('ACL', 'DELUSER', 'publisher'));
    const queue = suite.open({ url: suite.url.replace('redis://', 'redis://publisher:secret@') });
    expect(await failureOf(queue.publish('key', { n: 1 }, { id: 'one' }))).toMatchObject({ retryable: false });
    await suite.run('ACL', 'SETUSER', 'publisher', '+xadd');
    await queue.publish('key', { n: 1 }, { id: 'one' });
    expect(await suite.length()).toBe(1);
  });

  it('accepts a deduplication window with a fraction of a millisecond', async () => {
    const queue = suite.open({ dedupeWindow: 60_000.5 });
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.publish('key', { n: 2 }, { id: 'one' });
    expect(await suite.length()).toBe(1);
  });

  it('adds no command for a publish without an id', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const before = await suite.calls('set');
    await Promise.all(upTo(50).map((n) => queue.publish('key', { n })));
    // Only the number of the batch is stored.
    expect((await suite.calls('set')) - before).toBe(1);
    expect(await remembered()).toEqual([]);
  });
});
