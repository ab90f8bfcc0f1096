import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisBackend } from 'sluice/redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { keptLeases } from '../support/provider-leases.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const LEASE = 500;

describeWithRedis('Lease of a Redis consumer', () => {
  retryOnce();
  const suite = new RedisSuite();

  const publish = async (queue: RedisBackend, ...numbers: number[]) => {
    for (const n of numbers) await queue.publish('key', { n });
  };

  /** Reads messages as a consumer that then dies. */
  const takeAs = (consumer: string, count: number, group = 'default') =>
    suite.run('XREADGROUP', 'GROUP', group, consumer, 'COUNT', String(count), 'STREAMS', suite.name, '>');

  const consumers = async () => {
    const infos = (await suite.run('XINFO', 'CONSUMERS', suite.name, 'default')) as string[][];
    return infos.map((info) => info[1] as string);
  };

  keptLeases(suite, LEASE);

  it.each([
    ['that of its own name', `dead~${LEASE}`, 600_000],
    ['that of the consumer that checks, if its name has none', 'stranger', LEASE],
  ])('of an expired consumer has a length: %s', async (_what, name, lease) => {
    const queue = suite.open({ lease });
    await publish(queue, 1, 2, 3);
    await takeAs(name, 2);
    const holder = new Holder(queue, { prefetch: 5 });
    await eventually(() => holder.deliveries.length === 3);
    expect(holder.attempts).toEqual([
      [3, 1],
      [1, 2],
      [2, 2],
    ]);
    expect(await consumers()).not.toContain(name);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true, true]);
  });

  it('of a dead consumer does not end early', async () => {
    const queue = suite.open({ lease: LEASE });
    await publish(queue, 1);
    await takeAs('patient~60000', 1);
    const holder = new Holder(queue);
    await sleep(3 * LEASE);
    expect(holder.numbers).toEqual([]);
    expect(await consumers()).toContain('patient~60000');
  });

  it('counts an attempt each time it expires', async () => {
    const queue = suite.open({ lease: LEASE });
    await publish(queue, 1);
    await takeAs('dead~100', 1);
    const holder = new Holder(queue, { prefetch: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.of(1).attempt).toBe(2);
    await holder.of(1).nack();
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.of(1).attempt).toBe(3);
  });

  it('requeues hundreds of messages of several expired consumers in order', async () => {
    const queue = suite.open({ lease: LEASE });
    await Promise.all(Array.from({ length: 1300 }, (_, n) => queue.publish('key', { n })));
    for (const name of ['a~100', 'b~100']) await takeAs(name, 600);
    await takeAs('a~100', 100);
    await sleep(150);
    const holder = new Holder(queue, { prefetch: 2000 });
    await eventually(() => holder.deliveries.length === 1300);
    expect(holder.attempts).toEqual(Array.from({ length: 1300 }, (_, n) => [n, 2]));
    expect(await consumers()).toHaveLength(2);
  });

  it('removes an expired consumer with nothing in flight', async () => {
    const queue = suite.open({ lease: LEASE });
    await queue.stats();
    await suite.run('XGROUP', 'CREATECONSUMER', suite.name, 'default', 'gone~100');
    await sleep(120);
    void new Holder(queue);
    await eventually(async () => !(await consumers()).includes('gone~100'));
    expect((await suite.keys()).filter((key) => key.startsWith('fenced:'))).toEqual([]);
  });
});

describeWithRedis('A live consumer whose lease has expired', () => {
  const suite = new RedisSuite();

  /**
   * Makes a consumer behind a proxy with two messages in flight. Cuts it off until another consumer
   * has them.
   */
  const prepare = async (prefetch = 2) => {
    const warnings: string[] = [];
    const { proxy, url } = await suite.proxy();
    const logger = { debug() {}, warn: (message: string) => void warnings.push(message), error() {} };
    const queue = suite.open({ url, lease: LEASE, logger });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, { prefetch });
    await eventually(() => holder.deliveries.length === 2);
    await proxy.refuse();
    proxy.cut();
    const rescuer = suite.open({ lease: LEASE });
    const other = new Holder(rescuer, { prefetch: 2 });
    await eventually(() => other.deliveries.length === 2);
    expect(other.attempts).toEqual([
      [1, 2],
      [2, 2],
    ]);
    warnings.length = 0;
    const settled = () => warnings.filter((message) => /could not be|changed nothing/.test(message));
    return { proxy, queue, holder, first: holder.of(1), second: holder.of(2), rescuer, other, settled };
  };

  it.each(['ack', 'nack', 'release', 'reject'] as const)('gets false from %s() and logs a warning', async (how) => {
    const { proxy, holder, first, other, settled } = await prepare();
    const counted = first[how]();
    await proxy.accept();
    expect(await counted).toBe(false);
    expect(settled()).toHaveLength(1);
    expect(settled()[0]).toContain(first.id);
    expect(first.settled).toBe('retried');
    expect(await first.ack()).toBe(false);
    expect(settled()).toHaveLength(2);
    expect(holder.of(2).settled).toBe(false);
    expect(await holder.of(2)[how]()).toBe(false);
    expect(settled()).toHaveLength(3);
    expect(await Promise.all(other.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(await suite.pending()).toEqual([]);
  });

  it('gets false although other acks in the same batch count', async () => {
    const { proxy, queue, holder, first, other } = await prepare();
    await proxy.accept();
    await queue.publish('key', { n: 3 });
    const more = new Holder(queue, { prefetch: 1 });
    await eventually(() => more.deliveries.length === 1);
    expect(await Promise.all([first.ack(), more.of(3).ack(), holder.of(2).ack()])).toEqual([false, true, false]);
    expect(await Promise.all(other.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  });

  it('keeps its deliveries until it receives the same messages again', async () => {
    const { proxy, holder, first, second, other } = await prepare(3);
    await proxy.accept();
    expect([first.settled, second.settled]).toEqual([false, false]);
    other.subscription.unsubscribe();
    // It has credit for one. The second message takes the credit of its expired delivery.
    await eventually(() => holder.deliveries.length === 4);
    expect(holder.attempts.slice(2).toSorted()).toEqual([
      [1, 3],
      [2, 3],
    ]);
    expect([first.settled, second.settled]).toEqual(['retried', 'retried']);
    expect(await second.ack()).toBe(false);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(await suite.length()).toBe(0);
  });

  it('rejoins and renews its lease', async () => {
    const { proxy, queue, other, rescuer } = await prepare();
    await proxy.accept();
    await Promise.all(other.held.map((delivery) => delivery.ack()));
    other.subscription.unsubscribe();
    const back = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 3 });
    await eventually(() => back.deliveries.length === 1);
    void new Holder(rescuer);
    await sleep(3 * LEASE);
    expect(await back.of(3).ack()).toBe(true);
  });

  it('gets false if its group was recreated and another consumer received the message', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue, { prefetch: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await suite.run('XGROUP', 'DESTROY', suite.name, 'default');
    const other = new Holder(suite.open());
    await eventually(() => other.deliveries.length === 1);
    expect(await holder.of(1).ack()).toBe(false);
    expect(await other.of(1).ack()).toBe(true);
  });

  it('removes its fence when it closes normally', async () => {
    const { proxy, queue } = await prepare();
    const fences = async () => (await suite.keys()).filter((key) => key.startsWith('fenced:')).length;
    expect(await fences()).toBe(1);
    await proxy.accept();
    await eventually(() =>
      queue.stats().then(
        () => true,
        () => false,
      ),
    );
    await queue.close();
    expect(await fences()).toBe(0);
  });
});
