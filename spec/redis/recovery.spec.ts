import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from 'sluice';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A RedisBackend whose server refuses', () => {
  retryOnce();
  const suite = new RedisSuite();

  const forbid = async () => {
    await suite.run('ACL', 'SETUSER', 'default', '-evalsha', '-eval');
    suite.ending(allow);
  };
  const allow = () => suite.run('ACL', 'SETUSER', 'default', '+@all');

  /** As a server that has become a replica, until `lead()`. */
  const follow = async () => {
    await suite.run('REPLICAOF', '127.0.0.1', '1');
    suite.ending(lead);
  };
  const lead = () => suite.run('REPLICAOF', 'NO', 'ONE');

  /** As a server that has lost its replicas, until `allowAlone()`. */
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

  it('ends its streams with an error for good, and gives to the next what was out', async () => {
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
    { how: 'a server that follows another', refuse: follow, allow: lead },
    { how: 'a server without replicas', refuse: refuseAlone, allow: allowAlone },
  ])('goes on with its streams when it is refused for now by $how, and settles then', async ({ refuse, allow }) => {
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
    // Once for all that it was refused.
    expect(logger.warnings.filter((message) => message.includes('refuses'))).toHaveLength(1);
  });

  it.each([
    ['follows another', follow],
    ['is without replicas', refuseAlone],
  ])('closes between two attempts where it %s', async (_how, refuse) => {
    const { queue, holder } = await holding(1);
    await refuse();
    void holder.of(1).ack();
    await sleep(400);
    await queue.close();
  });

  it('says shutDown between two attempts, where the server takes it again', async () => {
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

  it('closes though the server never answers any more, and its settlements are not counted', async () => {
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

  it('answers stats() though its connection is lost meanwhile', async () => {
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

  it('keeps its connections when the event loop is blocked for longer than an answer may take', async () => {
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

  it('keeps its connections while a consumer waits for longer than an answer may take', async () => {
    const logger = recordingLogger();
    const holder = new Holder(suite.open({ lease: 3000, logger }));
    await sleep(1500);
    await suite.open().publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(logger.warnings).toEqual([]);
  });
});

describeWithRedis('A RedisBackend whose connections are cut', () => {
  const suite = new RedisSuite();

  it('gives back what was on its way and never arrived, uncounted', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const holder = new Holder(queue);
    const direct = suite.open();
    await direct.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    // It waits for the next one.
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

  it('gives back what was on its way to a subscriber that has left meanwhile', async () => {
    const { proxy, url } = await suite.proxy();
    // Leases outlast the test: messages come to another consumer only because they are given back.
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
  ])('counts a settlement once whose answer is lost: %s', async (how, settle, next) => {
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

  it('gives back what was on its way and never arrived, also to one that holds more than a hundred thousand', async () => {
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

  it('delivers again what was acknowledged, where the server that is there then has not heard of that', async () => {
    const queue = suite.open({ groups: ['default', 'other'], lease: 500 });
    for (const n of [1, 2, 3]) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 2 });
    await eventually(() => holder.deliveries.length === 2);
    const [[id, consumer]] = (await suite.pending()) as [[string, string, number]];
    expect(await holder.of(1).ack()).toBe(true);
    await eventually(() => holder.deliveries.length === 3);
    // As a replica that takes over and lacks the last acknowledgement.
    await suite.run('XCLAIM', suite.name, 'default', consumer, '0', id, 'RETRYCOUNT', '1', 'FORCE', 'JUSTID');
    await suite.disconnect();
    await eventually(async () => (await suite.pending()).some(([, name]) => name !== consumer));
    expect(await holder.of(2).ack()).toBe(true);
    await eventually(() => holder.deliveries.length === 4);
    expect(holder.numbers).toEqual([1, 2, 3, 1]);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 0, unfinished: 0 });
  });

  it('warns once that a connection was lost, and once that there is one again', async () => {
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
