import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;
const groups = ['a', 'b'];

describeWithNats('A message for one group of a NatsBackend', () => {
  const suite = new NatsSuite();

  const holds = (count: number) =>
    eventually(
      async () => (await suite.length()) === count,
      () => `the stream does not come to hold ${count}`,
    );

  it('is delivered to that group only, also with a delay, in order with the messages for all', async () => {
    const queue = suite.open({ groups });
    const [a, b] = groups.map((group) => new Holder(queue, { group, prefetch: 100 })) as [Holder, Holder];
    for (const n of upTo(30)) {
      const group = [undefined, 'a', 'b'][n % 3];
      await queue.publish('key.of.it', { n }, { ...(group !== undefined && { group }), headers: { n: String(n) } });
    }
    await queue.publish('key', { n: 31 }, { group: 'b', delay: 50 });
    await queue.publish('key', { n: 32 }, { delay: 100 });
    await eventually(() => a.numbers.includes(32) && b.numbers.includes(32));
    expect(a.numbers).toEqual([...upTo(30).filter((n) => n % 3 !== 2), 32]);
    expect(b.numbers).toEqual([...upTo(30).filter((n) => n % 3 !== 1), 31, 32]);
    expect(b.of(2)).toMatchObject({ key: 'key.of.it', headers: { n: '2' }, attempt: 1 });
    for (const delivery of [...a.held, ...b.held]) expect(await delivery.ack()).toBe(true);
    await holds(0);
    expect(await suite.quarantined()).toEqual([]);
  });

  it('keeps its place and counts its attempts when it is requeued', async () => {
    const queue = suite.open({ groups });
    for (const n of upTo(3)) await queue.publish('key', { n }, { group: n === 2 ? 'b' : 'a' });
    await queue.publish('key', { n: 4 });
    const a = new Holder(queue, { group: 'a', prefetch: 2 });
    await eventually(() => a.deliveries.length === 2);
    await a.of(1).nack();
    await eventually(() => a.deliveries.length === 3);
    expect(a.attempts).toEqual([
      [1, 1],
      [3, 1],
      [1, 2],
    ]);
  });

  it('counts for that group only, and once in total', async () => {
    const queue = suite.open({ groups });
    const send = async (count: number, group?: string, delay = 0) => {
      for (const n of upTo(count)) await queue.publish('key', { n }, { group, delay });
    };
    await send(3, 'a');
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 3, unfinished: 3 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
    await send(2, 'b');
    await send(4);
    await send(1, 'a', HOUR);
    await send(1, undefined, HOUR);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 7, unfinished: 9 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 6, unfinished: 7 });
    expect(await queue.stats()).toEqual({ ready: 9, unfinished: 11 });
    const a = new Holder(queue, { group: 'a', prefetch: 5 });
    await eventually(() => a.deliveries.length === 5);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 2, unfinished: 9 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 6, unfinished: 7 });
    expect(await queue.stats()).toEqual({ ready: 6, unfinished: 11 });
    // Two for the group and one for all.
    for (const delivery of a.held.slice(1, 4)) expect(await delivery.ack()).toBe(true);
    await eventually(() => a.deliveries.length === 7);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 6 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 6, unfinished: 7 });
    expect(await queue.stats()).toEqual({ ready: 6, unfinished: 9 });
  });

  it('does not count for another group that has received some of the messages', async () => {
    const queue = suite.open({ groups });
    for (const n of upTo(40)) await queue.publish('key', { n }, n % 4 === 0 ? {} : { group: n % 4 === 1 ? 'a' : 'b' });
    const a = new Holder(queue, { group: 'a', prefetch: 3 });
    for (let left = 20; left > 0; left -= 1) {
      await eventually(() => a.held.length === Math.min(3, left));
      expect(await queue.stats({ group: 'a' })).toEqual({ ready: Math.max(0, left - 3), unfinished: left });
      expect(await queue.stats({ group: 'b' })).toEqual({ ready: 30, unfinished: 30 });
      await a.held[0]?.ack();
    }
    expect(await queue.stats()).toEqual({ ready: 30, unfinished: 30 });
  });

  it('is removed when its group has settled it, if another group has read nothing', async () => {
    const queue = suite.open({ groups });
    for (const n of upTo(500)) await queue.publish('key', { n }, { group: 'a' });
    await queue.publish('key', { n: 501 });
    const a = new Holder(queue, { group: 'a' }, (delivery) => void delivery.ack());
    await eventually(() => a.deliveries.length === 501);
    await holds(1);
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 1, unfinished: 1 });
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 0 });
    await queue.publish('key', { n: 502 }, { group: 'b' });
    const b = new Holder(queue, { group: 'b' }, (delivery) => void delivery.ack());
    await eventually(() => b.deliveries.length === 2);
    expect(b.numbers).toEqual([501, 502]);
    await holds(0);
  });

  it('does not delay the removal of messages for all', async () => {
    const queue = suite.open({ groups });
    for (const n of upTo(4)) await queue.publish('key', { n }, n === 1 || n === 4 ? { group: 'b' } : {});
    const holders = groups.map((group) => new Holder(queue, { group }));
    await eventually(() => holders[0]?.held.length === 2 && holders[1]?.held.length === 4);
    for (const holder of holders) for (const n of [2, 3]) await holder.of(n).ack();
    await holds(2);
  });

  it('is removed with the next one if the process that settled it died before it removed it', async () => {
    const queue = suite.open({ groups });
    for (const n of upTo(9)) await queue.publish('key', { n }, n === 4 ? {} : { group: 'b' });
    const { stream, consumer } = suite.names;
    const connection = await suite.connection();
    const next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer('b')}`;
    for (const _time of upTo(6)) {
      const { reply = '' } = await connection.request(next, '1', { timeout: 5000, noMux: true });
      await connection.request(reply, '+ACK', { timeout: 5000 });
    }
    expect(await suite.length()).toBe(9);
    const b = new Holder(queue, { group: 'b' });
    await eventually(() => b.deliveries.length === 3);
    expect(b.numbers).toEqual([7, 8, 9]);
    await b.of(9).ack();
    // Those before the first one in flight, except the one that group a has not settled.
    await holds(3);
    for (const n of [7, 8]) await b.of(n).ack();
    await holds(1);
    expect((await suite.stored()).map(({ seq }) => seq)).toEqual([4]);
  });

  it('is removed eventually, however many messages a dead process left behind', async () => {
    const queue = suite.open({ groups });
    const count = 2100;
    await Promise.all(upTo(count).map((n) => queue.publish('key', { n }, { group: 'b' })));
    await queue.publish('key', { n: 0 });
    const { stream, consumer } = suite.names;
    const connection = await suite.connection();
    const next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer('b')}`;
    for (const _time of upTo(count)) {
      const { reply = '' } = await connection.request(next, '1', { timeout: 5000, noMux: true });
      connection.publish(reply, '+ACK');
    }
    await queue.publish('key', { n: count + 1 }, { group: 'b' });
    void new Holder(queue, { group: 'b' }, (delivery) => void delivery.ack());
    await holds(1);
  });

  it('is skipped by a consumer of another group with a prefetch of 1', async () => {
    const queue = suite.open({ groups });
    await Promise.all(upTo(1000).map((n) => queue.publish('key', { n }, { group: 'b' })));
    await queue.publish('key', { n: 1001 }, { group: 'a' });
    const a = new Holder(queue, { group: 'a', prefetch: 1 });
    await eventually(() => a.deliveries.length === 1);
    expect(a.numbers).toEqual([1001]);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 1 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 1000, unfinished: 1000 });
  });

  it('is quarantined by that group only if it is unreadable', async () => {
    const queue = suite.open({ groups });
    const [a, b] = groups.map((group) => new Holder(queue, { group })) as [Holder, Holder];
    await queue.stats();
    await suite.add(suite.names.subject('key', 'b'), 'odd');
    await suite.add(suite.names.subject('key', 'b'), '{"n":1}');
    await suite.add(suite.names.subject('key'), '{"n":2}');
    await eventually(() => a.deliveries.length + b.deliveries.length === 3);
    await eventually(async () => (await suite.quarantined()).length === 1);
    expect([a.numbers, b.numbers]).toEqual([[2], [1, 2]]);
  });

  it('is removed with its group', async () => {
    const queue = suite.open({ groups: ['a', 'gone'] });
    await queue.publish('key', { n: 1 }, { group: 'gone' });
    await queue.close();
    await (await suite.manager()).consumers.delete(suite.names.stream, suite.names.consumer('gone'));
    const next = suite.open({ groups: ['a'] });
    const a = new Holder(next, { group: 'a' }, (delivery) => void delivery.ack());
    await holds(0);
    await next.publish('key', { n: 2 });
    await eventually(() => a.deliveries.length === 1);
    expect(a.numbers).toEqual([2]);
  });

  const odd = [
    'a b',
    'a.b',
    '*',
    '>',
    '.',
    '..',
    '=to',
    '$JS',
    '_x',
    '100 %',
    '\u0000',
    'é'.repeat(127),
    'x'.repeat(255),
    `${'x'.repeat(254)}y`,
  ];

  it('may be for a group with any name', async () => {
    const queue = suite.open({ groups: odd });
    const holders = odd.map((group) => new Holder(queue, { group }));
    for (const [index, group] of odd.entries()) await queue.publish('=to.a.b', { n: index }, { group });
    for (const [index, group] of odd.entries()) await queue.publish(group, { n: 100 + index }, { group, delay: 1 });
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 2));
    holders.forEach((holder, index) => {
      expect(holder.numbers).toEqual([index, 100 + index]);
      expect(holder.deliveries.map(({ key }) => key)).toEqual(['=to.a.b', odd[index]]);
    });
    for (const group of odd) expect(await queue.stats({ group })).toEqual({ ready: 0, unfinished: 2 });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 2 * odd.length });
  });

  it('works with a stream and consumers of an earlier version', async () => {
    // As an earlier version creates them.
    const manager = await suite.manager();
    const { stream, messages, subject, consumer } = suite.names;
    await manager.streams.add({ name: stream, subjects: [messages] });
    for (const group of groups)
      await manager.consumers.add(stream, {
        durable_name: consumer(group),
        ack_policy: 'explicit',
        ack_wait: 30e9,
        max_ack_pending: -1,
      });
    await suite.add(subject('to.a.key'), '{"n":1}');
    const before = await Promise.all(groups.map(async (group) => (await suite.group(group)).config));
    const queue = suite.open({ groups });
    const [a, b] = groups.map((group) => new Holder(queue, { group })) as [Holder, Holder];
    await queue.publish('key', { n: 2 }, { group: 'a' });
    await eventually(() => a.deliveries.length === 2 && b.deliveries.length === 1);
    expect(await Promise.all(groups.map(async (group) => (await suite.group(group)).config))).toEqual(before);
  });
});
