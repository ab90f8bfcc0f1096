import { UnsupportedOperationError } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('Administration of a RabbitMQ queue', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const received = (holder: Holder, count: number) => eventually(() => holder.deliveries.length === count);
  const idle = { ready: 0, unfinished: 0 };
  const onServer = async () => {
    const named = async (list: string) => (await suite.rows(list, 'name')).map(([name]) => name ?? '');
    return [...(await named('list_queues')), ...(await named('list_exchanges'))].filter((name) =>
      name.startsWith(suite.name),
    );
  };

  it('lists the declared groups, and `default` if another process has created it', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    expect(await queue.groups()).toEqual([
      { name: 'a', declared: true, ...idle, consumers: 0 },
      { name: 'b', declared: true, ...idle, consumers: 0 },
    ]);
    const other = suite.open();
    await other.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { group: 'b', delay: 60_000 });
    const holders = [new Holder(queue, { group: 'a' }), new Holder(suite.open({ groups: ['a'] }), { group: 'a' })];
    await eventually(() => holders.some(({ held }) => held.length > 0));
    await eventually(async () => (await queue.groups())[0]?.consumers === 2);
    const [a, ...rest] = await queue.groups();
    expect(a).toMatchObject({ name: 'a', declared: true, ready: 0 });
    expect(rest).toEqual([
      { name: 'b', declared: true, ready: 1, unfinished: 2, consumers: 0 },
      { name: 'default', declared: false, ready: 1, unfinished: 1, consumers: 0 },
    ]);
  });

  it('deletes a group with its queues and exchanges', async () => {
    const before = suite.open({ groups: ['a', 'b'] });
    await before.publish('key', { n: 1 });
    await before.publish('key', { n: 2 }, { group: 'b', delay: 60_000 });
    const holder = new Holder(before, { group: 'b' });
    await received(holder, 1);
    expect(await holder.of(1).nack({ delay: 60_000 })).toBe(true);
    await before.close();
    const after = suite.open({ groups: ['a'] });
    expect(await after.deleteGroup('b')).toBe(true);
    expect((await onServer()).filter((name) => name.includes(':group:b'))).toEqual([]);
    expect(await onServer()).toEqual(expect.arrayContaining([suite.names.group('a').queue, suite.names.exchange]));
    expect(await after.deleteGroup('b')).toBe(false);
  });

  it('completes the deletion of a group that another call has begun', async () => {
    await suite.open({ groups: ['a', 'b'] }).stats();
    const channel = await suite.channel();
    const { queue, again } = suite.names.group('b');
    await channel.exchangeDelete({ exchange: again });
    await channel.queueDelete(again);
    const after = suite.open({ groups: ['a'] });
    expect(await after.deleteGroup('b')).toBe(true);
    expect(await suite.length(queue)).toBeUndefined();
  });

  it('purges waiting and delayed messages but not those in flight', async () => {
    const queue = suite.open();
    for (const n of upTo(3)) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 1 });
    await received(holder, 1);
    await holder.of(1).nack({ delay: 60_000 });
    await received(holder, 2);
    await queue.publish('key', { n: 4 }, { delay: 60_000 });
    await queue.publish('key', { n: 5 }, { delay: 60_000, group: 'default' });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 5 });
    // 1, 3, 4 and 5.
    expect(await queue.purge()).toBe(4);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    expect(await holder.of(2).ack()).toBe(true);
    expect(await queue.stats()).toEqual(idle);
    expect(await queue.purge({ group: 'default' })).toBe(0);
    await queue.publish('key', { n: 6 });
    await received(holder, 3);
    expect(holder.numbers).toEqual([1, 2, 6]);
  });

  it('purges a prefetched message that waits for credit', async () => {
    const queue = suite.open();
    for (const n of upTo(2)) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 1 });
    await received(holder, 1);
    await holder.of(1).nack({ delay: 20 });
    await received(holder, 2);
    // The broker has delivered the message: its queues are empty.
    const { queue: name, again, delay } = suite.names.group('default');
    await eventually(async () => {
      const lengths = await Promise.all([name, again, `${delay}:0`, `${delay}:1`].map((each) => suite.length(each)));
      return (await queue.stats()).ready === 1 && lengths.every((length) => (length ?? 0) === 0);
    });
    expect(await queue.purge({ group: 'default' })).toBe(1);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    await holder.of(2).ack();
    await queue.publish('key', { n: 3 });
    await received(holder, 3);
    expect(holder.numbers).toEqual([1, 2, 3]);
  });

  it('purges messages that a subscriber has just requeued', async () => {
    const queue = suite.open();
    for (const n of upTo(9)) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 4 });
    await received(holder, 4);
    holder.subscription.unsubscribe();
    expect(await queue.purge()).toBe(9);
    expect(await queue.stats()).toEqual(idle);
  });

  it('counts a purged message once for all groups', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    for (const n of upTo(3)) await queue.publish('key', { n });
    await queue.publish('key', { n: 4 }, { group: 'a' });
    await queue.publish('key', { n: 5 }, { group: 'b' });
    await queue.publish('key', { n: 6 }, { delay: 60_000 });
    await queue.publish('key', { n: 7 }, { group: 'b', delay: 60_000 });
    const holder = new Holder(queue, { group: 'a', prefetch: 1 });
    await received(holder, 1);
    expect(await queue.purge()).toBe(7);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
  });

  it('purges from one group only the messages that the other groups do not share', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 60_000 });
    await queue.publish('key', { n: 3 }, { delay: 60_000, group: 'b' });
    expect(await queue.purge({ group: 'b' })).toBe(2);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 1, unfinished: 2 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 1 });
  });

  it('cannot peek and names the tools that can', async () => {
    const failure = await failureOf(suite.open({ groups: ['b'] }).peek({ group: 'b' }));
    expect(failure).toBeInstanceOf(UnsupportedOperationError);
    expect(failure.message).toMatch(/management UI.*release/);
    expect(failure.message).toContain(suite.names.group('b').queue);
  });

  it('retries on the next connection if a connection is lost', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    await queue.stats();
    proxy.cut();
    expect(await queue.groups()).toEqual([{ name: 'default', declared: true, ready: 1, unfinished: 1, consumers: 0 }]);
    proxy.cut();
    expect(await queue.purge()).toBe(1);
  });

  it('gives up after `publishTimeout`', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, publishTimeout: 300 });
    await queue.stats();
    await proxy.refuse();
    proxy.cut();
    for (const call of [queue.groups(), queue.purge(), queue.deleteGroup('x')])
      expect((await failureOf(call)).message).toContain('did not answer within 300 ms');
  });
});
