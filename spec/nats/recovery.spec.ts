import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const LEASE = 3000;

describeWithNats('A NatsBackend whose connection is lost', () => {
  retryOnce();
  const suite = new NatsSuite();

  it.each<[how: string, settle: (delivery: Delivery) => Promise<boolean>, next: number]>([
    ['ack', (delivery) => delivery.ack(), 2],
    ['reject', (delivery) => delivery.reject(), 2],
    ['nack', (delivery) => delivery.nack(), 1],
    ['nack with a delay', (delivery) => delivery.nack({ delay: 200 }), 1],
    ['release', (delivery) => delivery.release(), 1],
  ])('counts a settlement whose confirm is lost: %s', async (how, settle, next) => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, lease: LEASE });
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue, { prefetch: 1 });
    await eventually(() => holder.deliveries.length === 1);
    proxy.stall('to-client');
    const settled = settle(holder.of(1));
    await sleep(100);
    proxy.cut();
    proxy.resume();
    expect(await settled).toBe(true);
    if (how !== 'nack with a delay') await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.numbers[1]).toBe(next);
    await eventually(async () => {
      for (const delivery of holder.held) void delivery.ack();
      return (await queue.stats()).unfinished === 0;
    });
  });

  it('does not requeue a message that another consumer has if the confirm of a nack is lost', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, lease: LEASE });
    await queue.publish('key', { n: 1 });
    const leaving = new AbortController();
    const holder = new Holder(queue, { prefetch: 1, signal: leaving.signal });
    await eventually(() => holder.deliveries.length === 1);
    leaving.abort();
    const next = new Holder(suite.open({ lease: LEASE }), { prefetch: 1 });
    proxy.stall('to-client');
    const settled = holder.of(1).nack();
    await eventually(() => next.deliveries.length === 1);
    const third = new Holder(suite.open({ lease: LEASE }));
    proxy.cut();
    proxy.resume();
    expect(await settled).toBe(true);
    await queue.publish('key', { n: 2 });
    await eventually(() => third.numbers.includes(2));
    expect(third.numbers).toEqual([2]);
    expect(await next.of(1).ack()).toBe(true);
    expect((await suite.group()).delivered.consumer_seq).toBe(3);
  });

  it('settles its messages in flight over the next connection', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, lease: LEASE });
    await Promise.all(upTo(10).map((n) => queue.publish('key', { n })));
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 10);
    proxy.cut();
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual(upTo(10).map(() => true));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(holder.deliveries).toHaveLength(10);
  });

  it('gets the messages in transit after the lease', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, lease: 1000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    proxy.stall('to-client');
    await suite.open({ lease: 1000 }).publish('key', { n: 2 });
    await sleep(100);
    proxy.cut();
    proxy.resume();
    await eventually(() => holder.numbers.includes(2));
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  });

  it('notices a stalled connection while it only consumes, and reconnects', async () => {
    const { proxy, url } = await suite.proxy();
    const logger = recordingLogger();
    const queue = suite.open({ url, lease: LEASE, logger });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const { accepted } = proxy;
    proxy.stall();
    await eventually(() => proxy.accepted > accepted);
    proxy.resume();
    await suite.open({ lease: LEASE }).publish('key', { n: 2 });
    await eventually(() => holder.numbers.includes(2));
  });

  it('warns once of the lost connection, and once of the new one', async () => {
    const logger = recordingLogger();
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, logger });
    await queue.publish('key', { n: 1 });
    await proxy.refuse();
    proxy.cut();
    await sleep(500);
    await proxy.accept();
    await queue.publish('key', { n: 2 });
    await eventually(() => logger.warnings.length > 1);
    expect(logger.warnings).toEqual([
      expect.stringContaining('lost the connection to'),
      expect.stringContaining('Reconnected to'),
    ]);
  });
});

describeWithNats('A NatsBackend whose server stops', () => {
  const suite = new NatsSuite();

  it.each(['restart', 'kill', 'freeze'] as const)(
    'loses no confirmed message, and resumes (%s)',
    async (how) => {
      const queue = suite.open({ lease: LEASE, groups: ['a', 'b'], publishTimeout: 30_000 });
      const holders = ['a', 'b'].map(
        (group) => new Holder(queue, { group, prefetch: 10 }, (delivery) => void delivery.ack().catch(() => {})),
      );
      const confirmed: number[] = [];
      let going = true;
      const publishing = (async () => {
        for (let n = 0; going; n++) {
          await queue.publish('key', { n }, { delay: n % 5 === 0 ? 50 : 0 });
          confirmed.push(n);
        }
      })();
      await eventually(() => confirmed.length > 100);
      if (how === 'restart') await suite.server.restart();
      if (how === 'kill') {
        await suite.server.kill();
        await suite.server.start();
      }
      if (how === 'freeze') {
        suite.server.freeze();
        await sleep(2500);
        suite.server.thaw();
      }
      const before = confirmed.length;
      await eventually(() => confirmed.length > before + 100);
      going = false;
      await publishing;
      await eventually(async () => (await queue.stats()).unfinished === 0);
      for (const { numbers } of holders) {
        const got = new Set(numbers);
        expect(confirmed.filter((n) => !got.has(n))).toEqual([]);
      }
      await eventually(async () => (await suite.length()) === 0);
    },
    90_000,
  );
});

describeWithNats('A NatsBackend with its stream in memory', () => {
  const suite = new NatsSuite();

  it('starts again after the server has lost the stream', async () => {
    const queue = suite.open({ storage: 'memory', lease: LEASE });
    const holder = new Holder(queue);
    for (const n of upTo(3)) await queue.publish('key', { n });
    await eventually(() => holder.deliveries.length === 3);
    await holder.of(1).ack();
    await suite.server.kill();
    await suite.server.start();
    for (const n of upTo(3)) await queue.publish('key', { n: 10 + n });
    await eventually(() => holder.numbers.filter((n) => n > 10).length === 3);
    expect(holder.numbers.slice(3)).toEqual([11, 12, 13]);
    await eventually(() => holder.held.length === 3);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true, true]);
    await eventually(async () => (await suite.length()) === 0);
  });
});
