import { setTimeout as sleep } from 'node:timers/promises';
import { Holder, upTo } from '../support/consumers.js';
import { deleteNatsConsumer } from '../support/delete-nats-consumer.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

describeWithNats('A NatsBackend whose stream or consumer is deleted', () => {
  retryOnce();
  const suite = new NatsSuite();

  const removeStream = async (name: string) => (await suite.manager()).streams.delete(name);
  const removeConsumer = async (consumer = suite.names.consumer('default'), stream = suite.names.stream) =>
    deleteNatsConsumer(await suite.manager(), stream, consumer);

  it('recreates the consumer of a group, and loses no later message', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const holder = new Holder(queue, { prefetch: 100 }, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await removeConsumer();
    await Promise.all(upTo(50).map((n) => queue.publish('key', { n: n + 1 })));
    await eventually(() => holder.numbers.includes(51));
    expect(new Set(holder.numbers)).toEqual(new Set(upTo(51)));
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(logger.warnings.filter((message) => message.includes('is gone'))).toHaveLength(1);
  });

  it('loses no later message if there is no subscriber at the time', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).ack()).toBe(true);
    holder.subscription.unsubscribe();
    await removeConsumer();
    await queue.publish('key', { n: 2 });
    await queue.publish('key', { n: 3 });
    // Settled messages are removed a little later.
    await sleep(300);
    const next = new Holder(queue);
    await queue.publish('key', { n: 4 });
    await eventually(() => next.numbers.includes(4));
    expect(next.numbers.filter((n) => n !== 1)).toEqual([2, 3, 4]);
  });

  it('does not recreate an undeclared group, and retains no message for it', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const other = suite.open({ groups: ['default', 'passing'] });
    const passing = new Holder(other, { group: 'passing' }, (delivery) => void delivery.ack());
    await eventually(
      async () => passing.deliveries.length === 1 && (await other.stats({ group: 'passing' })).unfinished === 0,
    );
    await other.close();
    await removeConsumer(suite.names.consumer('passing'));
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    await eventually(async () => (await suite.length()) === 0);
    await expect(suite.group('passing')).rejects.toThrow();
  });

  it('loses no later message if another group settles all immediately', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    void new Holder(queue, { group: 'a' }, (delivery) => void delivery.ack());
    const holder = new Holder(queue, { group: 'b', prefetch: 100 }, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 0 });
    await eventually(() => holder.deliveries.length === 1);
    for (const round of upTo(5)) {
      await removeConsumer(suite.names.consumer('b'));
      await eventually(() =>
        suite.group('b').then(
          () => true,
          () => false,
        ),
      );
      const numbers = upTo(20).map((n) => round * 100 + n);
      await Promise.all(numbers.map((n) => queue.publish('key', { n })));
      await eventually(() => numbers.every((n) => holder.numbers.includes(n)));
    }
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('resolves settlements to false if the consumer was deleted meanwhile, and redelivers the messages', async () => {
    const queue = suite.open({ lease: 1000 });
    const holder = new Holder(queue);
    for (const n of [1, 2]) await queue.publish('key', { n });
    await eventually(() => holder.deliveries.length === 2);
    await removeConsumer();
    await eventually(() => holder.deliveries.length === 4);
    expect(holder.numbers.slice(2).toSorted()).toEqual([1, 2]);
    expect(holder.held).toHaveLength(2);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('recreates the stream when it was deleted', async () => {
    const queue = suite.open();
    const other = suite.open();
    const holder = new Holder(other, { prefetch: 100 }, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await removeStream(suite.names.stream);
    await Promise.all(upTo(50).map((n) => queue.publish('key', { n: n + 1 })));
    await eventually(() => holder.deliveries.length === 51);
    expect(holder.numbers).toEqual(upTo(51));
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  // While a server deletes a stream, it also deletes the files of a new one with the same name.
  it('gives the server time to delete the stream before it recreates it', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const manager = await suite.manager();
    const removedAt = Date.now();
    await removeStream(suite.names.stream);
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.numbers.includes(2));
    const { created } = await manager.streams.info(suite.names.stream);
    // Timers may fire a millisecond early.
    expect(Date.parse(created) - removedAt).toBeGreaterThan(990);
  });

  it('loses no later message if the server is slow to delete the stream', async () => {
    // The server deletes the consumers first, which takes time.
    const queue = suite.open({ groups: upTo(60).map((n) => `g${n}`) });
    const holder = new Holder(queue, { group: 'g1', prefetch: 100 }, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 0 });
    await eventually(() => holder.deliveries.length === 1);
    await removeStream(suite.names.stream);
    await Promise.all(upTo(20).map((n) => queue.publish('key', { n })));
    await eventually(
      () => upTo(20).every((n) => holder.numbers.includes(n)),
      () => holder.numbers,
    );
  });

  it('removes no message of the new stream in place of a settled one of the old stream', async () => {
    const other = suite.open();
    const queue = suite.open({ groups: ['default'] });
    const holder = new Holder(queue, { prefetch: 100 }, (delivery) => void delivery.ack());
    // Settled messages are removed some 50 ms later.
    for (const round of upTo(12)) {
      const first = round * 10;
      await other.publish('key', { n: first });
      await eventually(() => holder.numbers.includes(first));
      await sleep(round * 4);
      await removeStream(suite.names.stream);
      await Promise.all([1, 2, 3].map((n) => other.publish('key', { n: first + n })));
      await eventually(
        () => [1, 2, 3].every((n) => holder.numbers.includes(first + n)),
        () => ({ round, numbers: holder.numbers }),
      );
    }
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('does not mistake a message of the new stream for one of the old stream', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    for (const n of upTo(4)) await queue.publish('key', { n });
    await eventually(() => holder.deliveries.length === 4);
    const old = [...holder.held];
    await old[0]?.ack();
    await removeStream(suite.names.stream);
    for (const n of upTo(4)) await queue.publish('key', { n: 10 + n });
    await eventually(() => holder.deliveries.length === 8);
    expect(holder.numbers.slice(4)).toEqual([11, 12, 13, 14]);
    expect(await Promise.all(old.slice(1).map((delivery) => delivery.ack()))).toEqual([false, false, false]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 4 });
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true, true, true]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it.each([0, 1500])(
    'delivers the messages of a stream that was recreated while it requested nothing (%i ms later)',
    async (later) => {
      const queue = suite.open();
      const other = suite.open();
      const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
      for (const n of upTo(5)) await queue.publish('key', { n });
      await eventually(async () => holder.deliveries.length === 5 && (await queue.stats()).unfinished === 0);
      holder.subscription.unsubscribe();
      await sleep(later);
      await removeStream(suite.names.stream);
      for (const n of upTo(5)) await other.publish('key', { n: 10 + n });
      const next = new Holder(queue, {}, (delivery) => void delivery.ack());
      await eventually(() => new Set(next.numbers).size === 5);
      expect(new Set(next.numbers)).toEqual(new Set([11, 12, 13, 14, 15]));
      await eventually(async () => (await suite.length()) === 0);
    },
  );

  it('recreates the stream of delayed messages', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 }, { delay: 10 });
    await eventually(() => holder.deliveries.length === 1);
    await removeStream(suite.names.delayedStream);
    await queue.publish('key', { n: 2 }, { delay: 10 });
    await eventually(() => holder.deliveries.length === 2);
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('recreates the consumer of delayed messages', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 }, { delay: 10 });
    await eventually(() => holder.deliveries.length === 1);
    await removeConsumer(suite.names.mover, suite.names.delayedStream);
    await queue.publish('key', { n: 2 }, { delay: 10 });
    await eventually(() => holder.deliveries.length === 2);
  });

  it('recreates the stream of the quarantine', async () => {
    const queue = suite.open();
    void new Holder(queue);
    await queue.stats();
    for (const time of upTo(2)) {
      await suite.add(`${suite.names.stream}.k`, `odd ${time}`);
      await eventually(async () => (await suite.length(suite.names.quarantine)) === 1);
      await removeStream(suite.names.quarantine);
    }
  });

  it('resumes when the stream is purged manually', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await Promise.all(upTo(10).map((n) => queue.publish('key', { n })));
    const holder = new Holder(queue, { group: 'a', prefetch: 3 });
    await eventually(() => holder.deliveries.length === 3);
    await (await suite.manager()).streams.purge(suite.names.stream);
    for (const delivery of holder.held) await delivery.ack();
    await queue.publish('key', { n: 11 });
    await eventually(() => holder.numbers.includes(11));
    const other = new Holder(queue, { group: 'b' });
    await eventually(() => other.numbers.includes(11));
    for (const delivery of [...holder.held, ...other.held]) await delivery.ack();
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('resolves stats() and closes if everything was deleted', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    for (const name of [suite.names.stream, suite.names.delayedStream]) await removeStream(name);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await removeStream(suite.names.stream);
    await queue.close();
    expect(holder.completed).toBe(true);
  });
});
