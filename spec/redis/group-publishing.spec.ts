import type { QueueBackend, QueueStats } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const GROUPS = ['a', 'b'];
const acking = (delivery: { ack(): unknown }) => void delivery.ack();

/** The counts of group `a`, of group `b` and of the queue, each as `ready/unfinished`. */
async function counts(queue: QueueBackend): Promise<string> {
  const text = ({ ready, unfinished }: QueueStats) => `${ready}/${unfinished}`;
  return [await queue.stats({ group: 'a' }), await queue.stats({ group: 'b' }), await queue.stats()]
    .map(text)
    .join(' ');
}

describeWithRedis('A message published for one group', () => {
  const suite = new RedisSuite();

  const isEmpty = async () => {
    expect(await suite.length()).toBe(0);
    for (const group of GROUPS) expect(await suite.pending(group)).toEqual([]);
    expect(await suite.keys()).toEqual(['', 'bell']);
  };

  it('is delivered to this group only, in publish order, also with a delay or headers', async () => {
    const queue = suite.open({ groups: GROUPS });
    const publish = (n: number, options?: object) => queue.publish('key', { n }, options);
    await Promise.all([
      publish(1),
      publish(2, { group: 'b' }),
      publish(3, { group: 'a', headers: { of: 'a' } }),
      publish(4),
    ]);
    await publish(5, { group: 'b', delay: 30 });
    const holders = GROUPS.map((group) => new Holder(queue, { group }));
    await eventually(() => holders[1]?.deliveries.length === 4);
    expect(holders.map(({ numbers }) => numbers)).toEqual([
      [1, 3, 4],
      [1, 2, 4, 5],
    ]);
    expect(holders[0]?.of(3).headers).toEqual({ of: 'a' });
    await Promise.all([publish(6, { group: 'b' }), publish(7), publish(8, { group: 'a' })]);
    await eventually(() => holders[0]?.deliveries.length === 5 && holders[1]?.deliveries.length === 6);
    expect(holders.map(({ numbers }) => numbers.slice(-2))).toEqual([
      [7, 8],
      [6, 7],
    ]);
    for (const holder of holders) await Promise.all(holder.held.map((delivery) => delivery.ack()));
    await eventually(async () => (await counts(queue)) === '0/0 0/0 0/0' && (await suite.length()) === 0);
    await isEmpty();
  });

  it('is counted for this group only, in every state', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { group: 'a' });
    await queue.publish('key', { n: 3 }, { group: 'a', delay: 60_000 });
    expect(await counts(queue)).toBe('2/3 1/1 2/3');
    const b = new Holder(queue, { group: 'b' });
    await eventually(() => b.deliveries.length === 1);
    await eventually(async () => (await counts(queue)) === '2/3 0/1 2/3');
    await b.of(1).ack();
    expect(await counts(queue)).toBe('2/3 0/0 2/3');
    const a = new Holder(queue, { group: 'a' });
    await eventually(() => a.deliveries.length === 2);
    expect(await counts(queue)).toBe('0/3 0/0 0/3');
    await a.of(2).nack({ delay: 60_000 });
    expect(await counts(queue)).toBe('0/3 0/0 0/3');
    await a.of(1).ack();
    expect(await counts(queue)).toBe('0/2 0/0 0/2');
    a.subscription.unsubscribe();
  });

  it('is counted as ready once it is due, even without a consumer', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 1 }, { group: 'a', delay: 1 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await eventually(async () => (await counts(queue)) === '2/2 1/1 2/2');
    await queue.publish('key', { n: 3 });
    expect(await counts(queue)).toBe('3/3 2/2 3/3');
  });

  it('is counted while it waits for redelivery', async () => {
    const queue = suite.open({ groups: GROUPS });
    for (const n of [1, 2]) await queue.publish('key', { n }, { group: 'a' });
    const a = new Holder(queue, { group: 'a' });
    await eventually(() => a.deliveries.length === 2);
    a.subscription.unsubscribe();
    await eventually(async () => (await counts(queue)) === '2/2 0/0 2/2');
  });

  it('is removed once its group has settled it, although other groups have not read so far', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 0 });
    await Promise.all(upTo(40).map((n) => queue.publish('key', { n }, { group: 'a' })));
    await queue.publish('key', { n: 41 });
    const a = new Holder(queue, { group: 'a', prefetch: 100 }, acking);
    await eventually(async () => a.deliveries.length === 42 && (await queue.stats({ group: 'a' })).unfinished === 0);
    expect(await suite.length()).toBe(2);
    expect(await counts(queue)).toBe('0/0 2/2 2/2');
    void new Holder(queue, { group: 'b' }, acking);
    await eventually(async () => (await counts(queue)) === '0/0 0/0 0/0');
    await isEmpty();
  });

  it('leaves the counts of a group correct that had not read it before it was removed', async () => {
    const queue = suite.open({ groups: GROUPS });
    const a = new Holder(queue, { group: 'a' }, acking);
    const b = new Holder(queue, { group: 'b' }, acking);
    await queue.publish('key', { n: 1 });
    await eventually(async () => (await counts(queue)) === '0/0 0/0 0/0');
    b.subscription.unsubscribe();
    await queue.publish('key', { n: 2 }, { group: 'a' });
    await eventually(async () => (await counts(queue)) === '0/0 0/0 0/0');
    await isEmpty();
    await queue.publish('key', { n: 3 });
    await eventually(async () => (await counts(queue)) === '0/0 1/1 1/1');
    const again = new Holder(queue, { group: 'b' }, acking);
    await eventually(async () => (await counts(queue)) === '0/0 0/0 0/0');
    again.subscription.unsubscribe();
    for (const n of [4, 5]) await queue.publish('key', { n });
    await eventually(async () => (await counts(queue)) === '0/0 2/2 2/2');
    a.subscription.unsubscribe();
    await queue.publish('key', { n: 6 }, { group: 'b' });
    expect(await counts(queue)).toBe('0/0 3/3 3/3');
  });

  it('is not delivered to another group after a consumer of that group dies', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ groups: GROUPS, lease: 200, logger });
    for (const n of [1, 2]) await queue.publish('key', { n }, { group: 'a' });
    await queue.publish('key', { n: 3 });
    await suite.run('XREADGROUP', 'GROUP', 'b', 'dead~200', 'COUNT', '10', 'STREAMS', suite.name, '>');
    expect(await counts(queue)).toBe('3/3 0/1 3/3');
    const a = new Holder(queue, { group: 'a', prefetch: 1 }, (delivery) => {
      if (delivery.id === a.deliveries[0]?.id) void delivery.ack();
    });
    await eventually(() => a.deliveries.length === 2);
    const b = new Holder(queue, { group: 'b' });
    await eventually(() => b.deliveries.length === 1);
    expect(b.attempts).toEqual([[3, 2]]);
    await b.of(3).ack();
    await a.of(2).ack();
    await eventually(() => a.deliveries.length === 3);
    await a.of(3).ack();
    await eventually(async () => (await counts(queue)) === '0/0 0/0 0/0');
    expect(b.numbers).toEqual([3]);
    expect(await suite.length()).toBe(0);
    expect(logger.errors).toEqual([]);
  });

  it('does not block another group with a small prefetch', async () => {
    const queue = suite.open({ groups: GROUPS });
    await Promise.all(upTo(100).map((n) => queue.publish('key', { n }, n % 10 === 0 ? {} : { group: 'a' })));
    const b = new Holder(queue, { group: 'b', prefetch: 1 }, acking);
    await eventually(() => b.deliveries.length === 10);
    expect(b.numbers).toEqual(upTo(10).map((n) => n * 10));
    await eventually(async () => (await counts(queue)) === '100/100 0/0 100/100');
  });

  it('is delivered if the database was flushed before the publish', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.stats();
    await suite.run('FLUSHALL');
    await suite.run('XGROUP', 'CREATE', suite.name, 'b', '0', 'MKSTREAM');
    await suite.run('XADD', suite.name, '*', 'key', 'key', 'payload', '{"n":1}');
    await queue.publish('key', { n: 2 }, { group: 'a' });
    await queue.publish('key', { n: 3 }, { group: 'a', delay: 1 });
    const b = new Holder(queue, { group: 'b' }, acking);
    await eventually(() => b.deliveries.length === 1);
    await eventually(async () => (await queue.stats({ group: 'b' })).unfinished === 0);
    const a = new Holder(queue, { group: 'a' });
    await eventually(() => a.deliveries.length === 3);
    expect(a.numbers).toEqual([1, 2, 3]);
  });

  it('is removed when a process connects after its group was destroyed', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 1 }, { group: 'b' });
    await queue.publish('key', { n: 2 });
    await suite.run('XGROUP', 'DESTROY', suite.name, 'b');
    const next = suite.open({ groups: ['a'] });
    expect([await next.stats({ group: 'a' }), await next.stats()]).toEqual([
      { ready: 1, unfinished: 1 },
      { ready: 1, unfinished: 1 },
    ]);
    expect(await suite.length()).toBe(1);
    expect(await suite.keys()).toEqual(['', 'bell']);
  });
});
