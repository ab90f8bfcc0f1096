import { setTimeout as sleep } from 'node:timers/promises';
import { MOVER_LEASE } from '../../src/nats/topology.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { shiftClock } from '../support/shifted-clock.js';

const HOUR = 3_600_000;
const LONG = 2 ** 31 + HOUR;

describeWithNats('A message that is published with a delay', () => {
  retryOnce();
  const suite = new NatsSuite();

  it('arrives when it is due, and says when it was published', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    const before = performance.now();
    await queue.publish('order.placed', { n: 1 }, { delay: 500, headers: { a: 'b' } });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    const published = Date.now();
    await eventually(() => holder.deliveries.length === 1);
    expect(performance.now() - before).toBeGreaterThanOrEqual(499);
    expect(holder.of(1)).toMatchObject({ key: 'order.placed', headers: { a: 'b' }, attempt: 1 });
    expect(holder.of(1).publishedAt).toBeLessThanOrEqual(published);
    expect(holder.of(1).publishedAt).toBeGreaterThan(published - 400);
    expect(await holder.of(1).ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it.each([-2 * HOUR, 2 * HOUR])('arrives in time if the clock of this process is wrong by %d ms', async (by) => {
    suite.ending(() => shiftClock(0));
    shiftClock(by);
    const queue = suite.open();
    const holder = new Holder(queue);
    const before = performance.now();
    await queue.publish('key', { n: 1 }, { delay: 300 });
    await eventually(() => holder.deliveries.length === 1);
    expect(performance.now() - before).toBeGreaterThanOrEqual(299);
    shiftClock(-by);
    await queue.publish('key', { n: 2 }, { delay: 300 });
    await holder.of(1).nack({ delay: 300 });
    await eventually(() => holder.deliveries.length === 3);
  });

  it('outlives its publisher, and is moved by another process', async () => {
    const publisher = suite.open({ groups: ['a', 'b'] });
    await publisher.publish('key', { n: 1 }, { delay: 400 });
    await publisher.close();
    const holder = new Holder(suite.open({ groups: ['a', 'b'] }), { group: 'a' });
    await eventually(() => holder.deliveries.length === 1);
    const late = new Holder(suite.open({ groups: ['a', 'b'] }), { group: 'b' });
    await eventually(() => late.deliveries.length === 1);
  });

  it('is moved if its consumer subscribed before another process published it', async () => {
    const holder = new Holder(suite.open());
    await eventually(async () => (await suite.length()) === 0);
    const publisher = suite.open();
    await publisher.publish('key', { n: 1 }, { delay: 200 });
    await publisher.close();
    await eventually(() => holder.deliveries.length === 1);
  });

  it('is delivered to a later consumer if the process that would have moved it has closed', async () => {
    const comesTogether = async () => {
      const first = suite.open();
      await Promise.all(upTo(5).map((n) => first.publish('key', { n }, { delay: 500 })));
      await first.close();
      await sleep(800);
      const times: number[] = [];
      const holder = new Holder(suite.open(), {}, (delivery) => {
        times.push(performance.now());
        void delivery.ack();
      });
      await eventually(() => holder.deliveries.length === 5);
      holder.subscription.unsubscribe();
      return Math.max(...times) - Math.min(...times) < MOVER_LEASE * 0.8;
    };
    // A message in flight to a mover is redelivered when its lease expires. A slow machine may
    // miss that several times.
    expect((await comesTogether()) || (await comesTogether()) || (await comesTogether())).toBe(true);
  });

  it('is moved once by one of several processes', async () => {
    const queues = upTo(4).map(() => suite.open());
    const holders = queues.map((queue) => new Holder(queue, {}, (delivery) => void delivery.ack()));
    await Promise.all(upTo(100).map((n) => queues[n % 4]?.publish('key', { n }, { delay: 1 + (n % 5) * 20 })));
    await eventually(() => holders.flatMap(({ numbers }) => numbers).length >= 100);
    await eventually(async () => (await queues[0]?.stats())?.unfinished === 0);
    expect(holders.flatMap(({ numbers }) => numbers).toSorted((one, other) => one - other)).toEqual(upTo(100));
  });

  it('is moved if the connection of the process that had it is cut', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 }, { delay: 1500 });
    await sleep(200);
    await proxy.refuse();
    proxy.cut();
    const holder = new Holder(suite.open());
    await eventually(() => holder.deliveries.length === 1);
  });

  it('arrives in the order of due times, as far as the server is punctual', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 100 });
    const numbers = upTo(40);
    await Promise.all(numbers.map((n) => queue.publish('key', { n }, { delay: 2500 - 50 * n })));
    await eventually(() => holder.deliveries.length === 40);
    // A busy server may be late by more than the time between two of them.
    const late = 1000;
    holder.numbers.forEach((n, index) => {
      const earlier = holder.numbers.slice(index + 1).filter((other) => 50 * (other - n) > late);
      expect([n, earlier]).toEqual([n, []]);
    });
    expect([...holder.numbers].sort((one, other) => one - other)).toEqual(numbers);
  });

  it('arrives in the order of publication if several are due together', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 1000 });
    for (const round of upTo(10)) {
      await Promise.all(upTo(30).map((n) => queue.publish('key', { n: 100 * round + n }, { delay: 100 })));
      await eventually(() => holder.deliveries.length === 30 * round);
    }
    expect(holder.numbers).toEqual(upTo(10).flatMap((round) => upTo(30).map((n) => 100 * round + n)));
  });

  it.each([LONG, Number.MAX_SAFE_INTEGER])('may be delayed by %d ms, and does not delay others', async (delay) => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 }, { delay });
    await queue.publish('key', { n: 2 }, { delay: 50 });
    await eventually(() => holder.deliveries.length === 1);
    const { bytes } = proxy;
    await sleep(1000);
    expect(proxy.bytes['to-client'] - bytes['to-client']).toBeLessThan(5000);
    expect(holder.numbers).toEqual([2]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
  });

  it('arrives if it has the maximum size of the server', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    const { max_payload: most = 0 } = (await suite.connection()).info ?? {};
    const taken: number[] = [];
    for (let n = most - 150; n <= most; n += 5) {
      const pad = 'x'.repeat(n - JSON.stringify({ n, pad: '' }).length);
      await queue.publish('key', { n, pad }, { delay: 10 }).then(
        () => taken.push(n),
        (error: unknown) => expect(error).toMatchObject({ name: 'InvalidMessageError' }),
      );
    }
    expect(taken.length).toBeGreaterThan(0);
    await eventually(() => holder.deliveries.length === taken.length);
    expect(holder.numbers).toEqual(taken);
  });
});

describeWithNats('A delivery that is nacked with a delay', () => {
  const suite = new NatsSuite();

  it('is redelivered after the delay, as the next attempt', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const before = performance.now();
    expect(await holder.of(1).nack({ delay: 400 })).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    await eventually(() => holder.deliveries.length === 2);
    expect(performance.now() - before).toBeGreaterThanOrEqual(399);
    expect(holder.of(1).attempt).toBe(2);
  });

  it('is redelivered to another backend if its own has closed', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await holder.of(1).nack({ delay: 400 });
    await queue.close();
    const other = new Holder(suite.open());
    await eventually(() => other.deliveries.length === 1);
    expect(other.attempts).toEqual([[1, 2]]);
  });

  it.each([LONG, 8e12, Number.MAX_SAFE_INTEGER])(
    'of %d ms is not redelivered, and does not delay others',
    async (delay) => {
      const { proxy, url } = await suite.proxy();
      const queue = suite.open({ url, lease: 1000 });
      const holder = new Holder(queue);
      await queue.publish('key', { n: 1 });
      await eventually(() => holder.deliveries.length === 1);
      expect(await holder.of(1).nack({ delay })).toBe(true);
      const { bytes } = proxy;
      await sleep(2500);
      expect(proxy.bytes['to-client'] - bytes['to-client']).toBeLessThan(5000);
      expect(holder.deliveries).toHaveLength(1);
      expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    },
  );
});

describeWithNats('A delayed message on NATS', () => {
  const suite = new NatsSuite();

  it('survives a restart of the server, and a SIGKILL', async () => {
    const queue = suite.open({ lease: 3000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await queue.publish('key', { n: 2 }, { delay: 3000 });
    await queue.publish('key', { n: 3 }, { delay: HOUR });
    await holder.of(1).nack({ delay: 3000 });
    await suite.server.restart();
    await suite.server.kill();
    await suite.server.start();
    await eventually(() => holder.deliveries.length >= 3);
    expect(holder.numbers.slice(1).toSorted()).toEqual([1, 2]);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    await eventually(async () => (await queue.stats()).unfinished === 1);
  });

  it('survives its publisher and the server, with no process meanwhile', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 }, { delay: 500 });
    await queue.close();
    await suite.server.restart();
    await sleep(500);
    const holder = new Holder(suite.open());
    await eventually(() => holder.deliveries.length === 1);
  });
});
