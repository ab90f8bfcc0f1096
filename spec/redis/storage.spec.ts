import type { Delivery } from 'sluice';
import type { RedisBackend } from 'sluice/redis';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { providerStorage } from '../support/provider-storage.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('Storage of a Redis queue', () => {
  const suite = new RedisSuite();

  const publish = (queue: RedisBackend, count: number) =>
    Promise.all(upTo(count).map((n) => queue.publish('key', { n })));

  const isEmpty = async (groups: readonly string[]) => {
    expect(await suite.length()).toBe(0);
    for (const group of groups) expect(await suite.pending(group)).toEqual([]);
    expect(await suite.keys()).toEqual(['', 'bell']);
    expect(await suite.run('XLEN', suite.key('bell'))).toBeLessThanOrEqual(1);
  };

  providerStorage({
    open: (options) => suite.open(options),
    length: () => suite.length(),
    holds: async (count) => expect(await suite.length()).toBe(count),
    isEmpty,
  });

  it('does not grow with the number of past messages and consumers', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const used = async () => {
      let bytes = 0;
      for (const key of (await suite.run('KEYS', `${suite.name}*`)) as string[])
        bytes += Number((await suite.run('MEMORY', 'USAGE', key, 'SAMPLES', '0')) ?? 0);
      return bytes;
    };
    const cycle = async () => {
      const other = suite.open({ groups: ['a', 'b'] });
      const holders = [queue, other].flatMap((each) =>
        ['a', 'b'].map((group) => new Holder(each, { group, prefetch: 5 }, (delivery) => void delivery.ack())),
      );
      await publish(queue, 200);
      await queue.publish('key', { n: 0 }, { delay: 1 });
      await eventually(async () => (await queue.stats()).unfinished === 0);
      for (const { subscription } of holders) subscription.unsubscribe();
      await other.close();
    };
    await cycle();
    await cycle();
    const before = await used();
    for (let times = 0; times < 15; times++) await cycle();
    expect(await used()).toBeLessThan(before * 1.5);
    const consumers = (await suite.run('XINFO', 'CONSUMERS', suite.name, 'a')) as unknown[];
    expect(consumers.length).toBeLessThanOrEqual(2);
    await isEmpty(['a', 'b']);
  });

  it('is freed when a backend opens the queue after a group was destroyed manually', async () => {
    const queue = suite.open({ groups: ['used', 'abandoned'] });
    await queue.stats();
    const abandoned = new Holder(queue, { group: 'abandoned' });
    await publish(queue, 10);
    await eventually(() => abandoned.deliveries.length === 10);
    const used = new Holder(queue, { group: 'used' }, (delivery) => void delivery.ack());
    await eventually(
      async () => used.deliveries.length === 10 && (await queue.stats({ group: 'used' })).unfinished === 0,
    );
    await queue.close();
    expect(await suite.length()).toBe(10);
    await suite.run('XGROUP', 'DESTROY', suite.name, 'abandoned');
    const next = suite.open({ groups: ['used'] });
    expect(await next.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(await suite.length()).toBe(0);
  });

  it('remembers a publisher for little longer than the publish timeout', async () => {
    const queue = suite.open({ publishTimeout: 5000.5 });
    await publish(queue, 3);
    const [key, ...others] = (await suite.run('KEYS', `${suite.name}:*:published:*`)) as string[];
    expect(others).toEqual([]);
    const left = (await suite.run('PTTL', String(key))) as number;
    expect(left).toBeLessThanOrEqual(65_001);
    expect(left).toBeGreaterThan(1000);
  });

  it('gives a new group all stored messages in order, waiting or in flight elsewhere', async () => {
    const queue = suite.open({ groups: ['early'] });
    const early = new Holder(queue, { group: 'early', prefetch: 4 });
    await publish(queue, 6);
    await eventually(() => early.deliveries.length === 4);
    await early.of(2).ack();
    await early.of(3).nack({ delay: 60_000 });
    const late = new Holder(suite.open({ groups: ['early', 'late'] }), { group: 'late' });
    await eventually(() => late.deliveries.length === 5);
    expect(late.attempts).toEqual([1, 3, 4, 5, 6].map((n) => [n, 1]));
  });
});

describeWithRedis('A message that another program deletes from the stream', () => {
  const suite = new RedisSuite();

  /** Makes a queue with two messages in flight. `remove` deletes the first one. */
  const prepare = async () => {
    const errors: string[] = [];
    const queue = suite.open({
      lease: 300,
      logger: { debug() {}, warn() {}, error: (message: string) => void errors.push(message) },
    });
    const holder = new Holder(queue, { prefetch: 2 });
    for (const n of [1, 2, 3]) await queue.publish('key', { n });
    await eventually(() => holder.deliveries.length === 2);
    const { id } = holder.of(1);
    const remove = () => suite.run('XDEL', suite.name, id);
    const isReported = () =>
      eventually(() => errors.some((message) => message.includes(id) && message.includes('lost')));
    const isOver = async () => {
      void new Holder(queue, { prefetch: 5 }, (delivery) => void delivery.ack());
      holder.subscription.unsubscribe();
      await eventually(async () => (await queue.stats()).unfinished === 0);
      expect(await suite.pending()).toEqual([]);
      await eventually(async () => (await suite.keys()).filter((key) => !key.startsWith('fenced:')).join() === ',bell');
      expect(errors).toHaveLength(1);
    };
    return { queue, holder, remove, isReported, isOver, errors };
  };

  it('counts as settled when it is acknowledged', async () => {
    const { holder, remove, isOver, errors } = await prepare();
    await remove();
    expect(await holder.of(1).ack()).toBe(true);
    errors.push('none');
    await isOver();
  });

  it.each<[how: string, settle: (delivery: Delivery) => unknown]>([
    ['nacked', (delivery) => delivery.nack()],
    ['nacked with a delay', (delivery) => delivery.nack({ delay: 20 })],
    ['released', (delivery) => delivery.release()],
  ])('is reported as lost when it is %s and leaves nothing behind', async (_how, settle) => {
    const { holder, remove, isReported, isOver } = await prepare();
    await remove();
    await settle(holder.of(1));
    await isReported();
    await isOver();
  });

  it('is reported as lost while it waits for redelivery', async () => {
    const { holder, remove, isReported, isOver } = await prepare();
    await holder.of(1).nack({ delay: 100 });
    await remove();
    await eventually(() => holder.deliveries.length === 3);
    await holder.of(2).ack();
    await isReported();
    await isOver();
  });

  it('is reported as lost when its consumer leaves', async () => {
    const { queue, holder, remove, isReported, isOver } = await prepare();
    await remove();
    holder.subscription.unsubscribe();
    void new Holder(queue, {}, (delivery) => void delivery.ack());
    await isReported();
    await isOver();
  });

  it('is reported as lost when the lease of its consumer expires', async () => {
    const { queue, holder, isReported, isOver } = await prepare();
    await Promise.all(holder.held.map((delivery) => delivery.nack()));
    holder.subscription.unsubscribe();
    await eventually(async () => (await queue.stats()).ready === 3);
    const parked = await suite.pending();
    await suite.run('XCLAIM', suite.name, 'default', 'dead~100', '0', ...parked.map(([id]) => id));
    await suite.run('DEL', suite.key('returned:default'));
    await suite.run('XDEL', suite.name, holder.of(1).id);
    void new Holder(queue, {}, (delivery) => void delivery.ack());
    await isReported();
    await isOver();
  });

  it('is not counted if it was never delivered', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 });
    const [[id]] = (await suite.run('XRANGE', suite.name, '-', '+')) as [[string]];
    await suite.run('XDEL', suite.name, id);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 1, unfinished: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.numbers).toEqual([2]);
  });
});
