import type { NatsBackend } from 'sluice/nats';
import { Holder, upTo } from '../support/consumers.js';
import { deleteNatsConsumer } from '../support/delete-nats-consumer.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { providerStorage } from '../support/provider-storage.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

describeWithNats('The storage of a NatsBackend', () => {
  const suite = new NatsSuite();

  const publish = (queue: NatsBackend, count: number) =>
    Promise.all(upTo(count).map((n) => queue.publish('key', { n })));

  const holds = (count: number) =>
    eventually(
      async () => (await suite.length()) === count,
      () => `the stream does not come to hold ${count}`,
    );

  const isEmpty = async () => {
    await holds(0);
    expect(await suite.length(suite.names.delayedStream)).toBe(0);
  };

  providerStorage({ open: (options) => suite.open(options), length: () => suite.length(), holds, isEmpty });

  it('is one message while it waits and thousands of later messages are settled', async () => {
    const queue = suite.open();
    await publish(queue, 3000);
    const holder = new Holder(queue, { prefetch: 200 }, (delivery) => {
      void (holder.deliveries.length === 1 ? delivery.nack({ delay: HOUR }) : delivery.ack());
    });
    await eventually(() => holder.deliveries.length === 3000);
    await holds(1);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
  });

  it('is one message while it waits in each of two groups', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await publish(queue, 500);
    for (const group of ['a', 'b']) {
      const holder = new Holder(queue, { group, prefetch: 200 }, (delivery) => {
        void (holder.deliveries.length === 1 ? delivery.nack({ delay: HOUR }) : delivery.ack());
      });
      await eventually(() => holder.deliveries.length === 500);
    }
    await holds(1);
  });

  it('is one message while it is in flight and another consumer settles later ones', async () => {
    const queue = suite.open();
    await publish(queue, 200);
    const slow = new Holder(queue, { prefetch: 1 });
    await eventually(() => slow.deliveries.length === 1);
    void new Holder(suite.open(), {}, (delivery) => void delivery.ack());
    await holds(1);
    expect(await slow.of(1).ack()).toBe(true);
    await isEmpty();
  });

  it('is empty if a process closed immediately after it settled some messages', async () => {
    await publish(suite.open({ groups: ['a', 'b'] }), 30);
    for (const group of ['a', 'b', 'a', 'b']) {
      const queue = suite.open({ groups: ['a', 'b'] });
      const holder = new Holder(queue, { group, prefetch: 15 });
      await eventually(() => holder.deliveries.length === 15);
      await Promise.all(holder.held.map((delivery) => delivery.ack()));
      await queue.close();
    }
    await isEmpty();
  });

  it('is emptied after the stream was recreated, with the same sequence numbers', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await publish(queue, 100);
    await eventually(() => holder.deliveries.length === 100);
    await isEmpty();
    await (await suite.manager()).streams.delete(suite.names.stream);
    await publish(queue, 10);
    await eventually(() => holder.deliveries.length === 110);
    expect((await suite.group()).delivered.stream_seq).toBe(10);
    await isEmpty();
  });

  it('is freed after a group was deleted manually, when the next message is settled', async () => {
    const queue = suite.open({ groups: ['used', 'abandoned'] });
    await publish(queue, 10);
    const used = new Holder(queue, { group: 'used' }, (delivery) => void delivery.ack());
    await eventually(() => used.deliveries.length === 10);
    await queue.close();
    expect(await suite.length()).toBe(10);
    await deleteNatsConsumer(await suite.manager(), suite.names.stream, suite.names.consumer('abandoned'));
    const next = suite.open({ groups: ['used'] });
    await next.publish('key', { n: 11 });
    void new Holder(next, { group: 'used' }, (delivery) => void delivery.ack());
    await isEmpty();
  });

  it('has one consumer per group, however often the queue is opened', async () => {
    for (const _time of upTo(5)) {
      const queue = suite.open({ groups: ['a', 'b'] });
      const holder = new Holder(queue, { group: 'a' }, (delivery) => void delivery.ack());
      await queue.publish('key', { n: 1 }, { delay: 1 });
      await eventually(() => holder.deliveries.length === 1);
      await queue.close();
    }
    const manager = await suite.manager();
    const { state } = await manager.streams.info(suite.names.stream);
    expect(state.consumer_count).toBe(2);
    await eventually(async () => (await manager.streams.info(suite.names.delayedStream)).state.consumer_count === 1);
  });
});

describeWithNats('The groups of a NatsBackend', () => {
  const suite = new NatsSuite();

  it('are checked once each, and once for their consumers, however many there are', async () => {
    const groups = upTo(30).map((n) => `group-${n}`);
    const connection = await suite.connection();
    const lookups: string[] = [];
    connection.subscribe(`$JS.API.CONSUMER.INFO.${suite.names.stream}.>`, {
      callback: (_error, { subject }) => void lookups.push(subject),
    });
    await connection.flush();
    const queue = suite.open({ groups });
    await queue.publish('key', { n: 1 });
    const holders = groups.map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 1));
    expect(new Set(lookups).size).toBe(groups.length);
    expect(lookups.length).toBeLessThanOrEqual(2 * groups.length);
  });

  it('are all recreated with the stream, also those without a subscriber', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const holder = new Holder(queue, { group: 'a' });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await (await suite.manager()).streams.delete(suite.names.stream);
    await eventually(() =>
      suite.group('b').then(
        () => true,
        () => false,
      ),
    );
  });
});

describeWithNats('A group that is created later', () => {
  const suite = new NatsSuite();

  it('does not count or get messages that all other groups have settled', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await Promise.all(upTo(5).map((n) => queue.publish('key', { n })));
    await eventually(() => holder.deliveries.length === 5);
    for (const n of upTo(4)) await holder.of(n).ack();
    await eventually(async () => (await suite.length()) === 1);
    const other = suite.open({ groups: ['default', 'late'] });
    expect(await other.stats({ group: 'late' })).toEqual({ ready: 1, unfinished: 1 });
    const late = new Holder(other, { group: 'late' });
    await eventually(() => late.deliveries.length >= 1);
    await queue.publish('key', { n: 6 });
    await eventually(() => late.numbers.includes(6));
    expect(late.numbers).toEqual([5, 6]);
  });

  it('gets the delayed messages', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 }, { delay: 300 });
    await queue.publish('key', { n: 2 });
    const late = new Holder(suite.open({ groups: ['default', 'late'] }), { group: 'late' });
    await eventually(() => late.deliveries.length === 2);
    expect(late.numbers).toEqual([2, 1]);
  });
});
