import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

describeWithNats('The stats of a NatsBackend', () => {
  retryOnce();
  const suite = new NatsSuite();

  it('are zero for an unused queue', async () => {
    const queue = suite.open({ groups: ['a'] });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 0 });
  });

  it('follow a message through its life', async () => {
    const queue = suite.open();
    await Promise.all(upTo(6).map((n) => queue.publish('key', { n })));
    await queue.publish('key', { n: 7 }, { delay: HOUR });
    expect(await queue.stats()).toEqual({ ready: 6, unfinished: 7 });
    const holder = new Holder(queue, { prefetch: 4 });
    await eventually(() => holder.deliveries.length === 4);
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 7 });
    void holder.of(1).ack();
    expect((await queue.stats()).unfinished).toBe(6);
    void holder.of(2).nack({ delay: HOUR });
    expect((await queue.stats()).unfinished).toBe(6);
    await eventually(() => holder.deliveries.length === 6);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 6 });
    await holder.of(3).reject();
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 5 });
    holder.subscription.unsubscribe();
    await eventually(async () => (await queue.stats()).ready === 3);
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 5 });
  });

  it('count per group and in total', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await Promise.all(upTo(5).map((n) => queue.publish('key', { n })));
    const holder = new Holder(queue, { group: 'a', prefetch: 3 });
    await eventually(() => holder.deliveries.length === 3);
    await holder.of(1).ack();
    await eventually(() => holder.deliveries.length === 4);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 1, unfinished: 4 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 5, unfinished: 5 });
    expect(await queue.stats()).toEqual({ ready: 5, unfinished: 5 });
  });

  it('include groups that other processes declare or consume', async () => {
    const queue = suite.open({ groups: ['a'] });
    const other = suite.open({ groups: ['a', 'b', 'c'] });
    await other.stats();
    for (const n of upTo(3)) await queue.publish('key', { n });
    const passing = new Holder(other, { group: 'c' });
    await eventually(() => passing.deliveries.length === 3);
    void new Holder(queue, { group: 'a' }, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats({ group: 'a' })).unfinished === 0);
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
    // Only the consumer of group c still has all of them.
    void new Holder(other, { group: 'b' }, (delivery) => void delivery.ack());
    await eventually(async () => (await other.stats({ group: 'b' })).unfinished === 0);
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
  });

  it('count a message as ready after the delay of its nack', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await holder.of(1).nack({ delay: 200 });
    holder.subscription.unsubscribe();
    await eventually(async () => (await queue.stats()).ready === 1);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('reject in time while there is no server', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url, publishTimeout: 300 });
    expect(await failureOf(queue.stats())).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: true,
      message: expect.stringContaining('300 ms'),
    });
  });

  it('resolve if the connection is lost meanwhile', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    proxy.stall('to-client');
    const stats = queue.stats();
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.cut();
    proxy.resume();
    expect(await stats).toEqual({ ready: 1, unfinished: 1 });
  });
});
