import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from 'sluice';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('RedisBackend when its server refuses requests', () => {
  retryOnce();
  const suite = new RedisSuite();

  const forbid = async () => {
    await suite.run('ACL', 'SETUSER', 'default', '-evalsha', '-eval');
    suite.ending(allow);
  };
  const allow = () => suite.run('ACL', 'SETUSER', 'default', '+@all');

  /** Makes the server a replica until `lead()`. */
  const follow = async () => {
    await suite.run('REPLICAOF', '127.0.0.1', '1');
    suite.ending(lead);
  };
  const lead = () => suite.run('REPLICAOF', 'NO', 'ONE');

  /** Makes the server refuse writes for lack of replicas, until `allowAlone()`. */
  const refuseAlone = async () => {
    await suite.run('CONFIG', 'SET', 'min-replicas-to-write', '1');
    suite.ending(allowAlone);
  };
  const allowAlone = () => suite.run('CONFIG', 'SET', 'min-replicas-to-write', '0');

  const holding = async (...numbers: number[]) => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const holder = new Holder(queue);
    for (const n of numbers) await queue.publish('key', { n });
    await eventually(() => holder.deliveries.length === numbers.length);
    return { queue, holder, logger };
  };

  it('ends its streams after a fatal error and redelivers messages in flight to the next consumer', async () => {
    const { queue, holder, logger } = await holding(1, 2);
    await forbid();
    expect(await failureOf(holder.of(1).ack())).toMatchObject({
      retryable: false,
      message: expect.stringContaining('NOPERM'),
    });
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ retryable: false });
    expect(logger.errors).toHaveLength(1);
    expect(holder.of(2).settled).toBe('retried');
    expect(await holder.of(2).ack()).toBe(false);
    await allow();
    const next = new Holder(queue);
    await eventually(() => next.deliveries.length === 2);
    expect(next.numbers).toEqual([1, 2]);
    expect(await Promise.all(next.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it.each([
    { how: 'a replica', refuse: follow, allow: lead },
    { how: 'a server without replicas', refuse: refuseAlone, allow: allowAlone },
  ])('keeps its streams and retries settlements while refused by $how', async ({ refuse, allow }) => {
    const { queue, holder, logger } = await holding(1, 2);
    await refuse();
    const settled = [holder.of(1).ack(), holder.of(2).nack()];
    await eventually(() => logger.warnings.some((message) => message.includes('refuses')));
    expect(holder.error).toBeUndefined();
    await allow();
    expect(await Promise.all(settled)).toEqual([true, true]);
    await eventually(() => holder.deliveries.length === 3);
    expect(holder.attempts.at(-1)).toEqual([2, 2]);
    await queue.publish('key', { n: 3 });
    await eventually(() => holder.numbers.includes(3));
    // One warning covers all refused settlements.
    expect(logger.warnings.filter((message) => message.includes('refuses'))).toHaveLength(1);
  });

  it.each([
    ['is a replica', follow],
    ['has no replicas', refuseAlone],
  ])('closes between two attempts if the server %s', async (_how, refuse) => {
    const { queue, holder } = await holding(1);
    await refuse();
    void holder.of(1).ack();
    await sleep(400);
    await queue.close();
  });

  it('shuts down between two attempts if the server accepts requests again', async () => {
    const { queue, holder } = await holding(1, 2);
    await refuseAlone();
    const acknowledged = holder.of(1).ack();
    await sleep(400);
    await allowAlone();
    await queue.close();
    expect(await acknowledged).toBe(true);
    const next = new Holder(suite.open());
    await eventually(() => next.deliveries.length === 1);
    expect(next.attempts).toEqual([[2, 2]]);
  });

  it('closes although the server never replies, and resolves its acks with false', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    proxy.stall('to-client');
    const acknowledged = holder.of(1).ack();
    const closed = queue.close();
    expect(holder.completed).toBe(true);
    await closed;
    expect(await acknowledged).toBe(false);
  }, 20_000);

  it('answers stats() although its connection is lost meanwhile', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    proxy.stall('to-client');
    const stats = queue.stats();
    await sleep(50);
    proxy.cut();
    proxy.resume();
    expect(await stats).toEqual({ ready: 1, unfinished: 1 });
  });

  it('keeps its connections when the event loop is blocked for longer than the response timeout', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ lease: 300, logger });
    await queue.publish('key', { n: 1 });
    // The reply arrives while the process cannot read it.
    await suite.run('CLIENT', 'PAUSE', '500');
    const stats = queue.stats();
    await turns(5);
    const end = performance.now() + 1300;
    while (performance.now() < end);
    expect(await stats).toEqual({ ready: 1, unfinished: 1 });
    await turns(5);
    expect(logger.warnings).toEqual([]);
  });

  it('keeps its connections while a consumer waits for longer than the response timeout', async () => {
    const logger = recordingLogger();
    const holder = new Holder(suite.open({ lease: 3000, logger }));
    await sleep(1500);
    await suite.open().publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(logger.warnings).toEqual([]);
  });
});

describeWithRedis('RedisBackend when its connections are cut', () => {
  const suite = new RedisSuite();

  it('requeues messages lost on their way to the consumer, without counting an attempt', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const holder = new Holder(queue);
    const direct = suite.open();
    await direct.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    // The consumer waits for the next message.
    await eventually(async () => /blocked_clients:[1-9]/.test(String(await suite.run('INFO', 'clients'))));
    proxy.stall('to-client');
    await direct.publish('key', { n: 2 });
    await eventually(async () => (await suite.pending()).length === 2);
    proxy.cut();
    proxy.resume();
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.attempts).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  });

  it('requeues messages lost on their way to a subscriber that has unsubscribed', async () => {
    const { proxy, url } = await suite.proxy();
    // Leases outlast the test, so the other consumer receives only requeued messages.
    const queue = suite.open({ url, lease: 600_000 });
    for (const n of [1, 2]) await queue.publish('key', { n });
    proxy.stall('to-client');
    const holder = new Holder(queue);
    await eventually(async () => (await suite.pending()).length === 2);
    holder.subscription.unsubscribe();
    proxy.cut();
    proxy.resume();
    const other = new Holder(suite.open({ lease: 600_000 }));
    await eventually(() => other.deliveries.length === 2);
    expect(other.attempts).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(holder.deliveries).toEqual([]);
  });

  it.each<[how: string, settle: (delivery: Delivery) => Promise<boolean>, next: [n: number, attempt: number]]>([
    ['ack', (delivery) => delivery.ack(), [2, 1]],
    ['reject', (delivery) => delivery.reject(), [2, 1]],
    ['nack', (delivery) => delivery.nack(), [1, 2]],
    ['nack with a delay', (delivery) => delivery.nack({ delay: 200 }), [1, 2]],
    ['release', (delivery) => delivery.release(), [1, 1]],
  ])('counts a settlement once if its reply is lost: %s', async (how, settle, next) => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue, { prefetch: 1 });
    await eventually(() => holder.deliveries.length === 1);
    proxy.stall('to-client');
    const before = await suite.calls('xreadgroup');
    const settled = settle(holder.of(1));
    await eventually(async () => (await suite.calls('xreadgroup')) > before);
    proxy.cut();
    proxy.resume();
    expect(await settled).toBe(true);
    if (how !== 'nack with a delay') await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.attempts[1]).toEqual(next);
    expect(await holder.held[0]?.ack()).toBe(true);
  });

  it('requeues messages lost on their way to a consumer with more than 100 000 in flight', async () => {
    const count = 100_100;
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.stats();
    const store =
      "for n = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'key', 'key', 'payload', '{\"n\":' .. n .. '}') end";
    await suite.run('EVAL', store, '1', suite.name, String(count));
    const holder = new Holder(queue, { prefetch: 2 * count });
    await eventually(() => holder.deliveries.length === count);
    await eventually(async () => /blocked_clients:[1-9]/.test(String(await suite.run('INFO', 'clients'))));
    proxy.stall('to-client');
    await suite.open().publish('key', { n: count + 1 });
    await eventually(async () => ((await suite.run('XPENDING', suite.name, 'default')) as [number])[0] === count + 1);
    proxy.cut();
    proxy.resume();
    await eventually(() => holder.deliveries.length > count);
    expect(holder.attempts.slice(count)).toEqual([[count + 1, 1]]);
  });

  it('redelivers an acknowledged message if the new master has lost the ack', async () => {
    const queue = suite.open({ groups: ['default', 'other'], lease: 500 });
    for (const n of [1, 2, 3]) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 2 });
    await eventually(() => holder.deliveries.length === 2);
    const [[id, consumer]] = (await suite.pending()) as [[string, string, number]];
    expect(await holder.of(1).ack()).toBe(true);
    await eventually(() => holder.deliveries.length === 3);
    // As after a failover to a replica that lacks the last ack.
    await suite.run('XCLAIM', suite.name, 'default', consumer, '0', id, 'RETRYCOUNT', '1', 'FORCE', 'JUSTID');
    await suite.disconnect();
    await eventually(async () => (await suite.pending()).some(([, name]) => name !== consumer));
    expect(await holder.of(2).ack()).toBe(true);
    await eventually(() => holder.deliveries.length === 4);
    expect(holder.numbers).toEqual([1, 2, 3, 1]);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 0, unfinished: 0 });
  });

  it('logs one warning when a connection is lost and one when it is restored', async () => {
    const logger = recordingLogger();
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, logger });
    await queue.publish('key', { n: 1 });
    await proxy.refuse();
    proxy.cut();
    await sleep(300);
    await proxy.accept();
    await queue.publish('key', { n: 2 });
    await eventually(() => logger.warnings.length > 1);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection to'),
      expect.stringContaining('Reconnected to'),
    ]);
  });
});
