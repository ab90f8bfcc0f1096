import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

const GROUPS = ['a', 'b'];

describeWithRabbitMq('A RabbitMQ message for one group', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const received = (holder: Holder, count: number) =>
    eventually(
      () => holder.deliveries.length === count,
      () => holder.attempts,
    );
  const settle = async (holder: Holder) => {
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).not.toContain(false);
  };

  it('reaches only this group, in publish order among all messages', async () => {
    const queue = suite.open({ groups: GROUPS });
    // The last number says for which groups it is.
    const groupOf = (n: number) => [undefined, ...GROUPS][n % 3];
    const numbers = upTo(300);
    await Promise.all(numbers.map((n) => queue.publish('key', { n }, { group: groupOf(n) })));
    for (const group of GROUPS) {
      const holder = new Holder(queue, { group, prefetch: 300 });
      await received(holder, 200);
      expect(holder.numbers).toEqual(numbers.filter((n) => [undefined, group].includes(groupOf(n))));
      await settle(holder);
    }
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('keeps its order from the first message on, in new queues', async () => {
    const queue = suite.open({ groups: GROUPS });
    const holders = GROUPS.map((group) => new Holder(queue, { group, prefetch: 99 }));
    await Promise.all([
      queue.publish('key', { n: 1 }, { group: 'a' }),
      ...upTo(20).map((n) => queue.publish('key', { n: n + 1 })),
      queue.publish('key', { n: 22 }, { group: 'b' }),
    ]);
    await received(holders[0] as Holder, 21);
    await received(holders[1] as Holder, 21);
    expect(holders.map(({ numbers }) => numbers)).toEqual([upTo(21), upTo(22).slice(1)]);
  });

  it('arrives behind waiting messages when its delay ends, and in no other group', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 2 }, { group: 'a', delay: 50 });
    await queue.publish('key', { n: 1 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 1, unfinished: 1 });
    await eventually(async () => (await queue.stats({ group: 'a' })).ready === 2);
    const [a, b] = GROUPS.map((group) => new Holder(queue, { group })) as [Holder, Holder];
    await received(a, 2);
    expect(a.numbers).toEqual([1, 2]);
    await queue.publish('key', { n: 3 }, { group: 'b', delay: 1 });
    await received(b, 2);
    expect(b.numbers).toEqual([1, 3]);
    expect(a.numbers).toEqual([1, 2]);
  });

  it('is counted once, in its group and in total', async () => {
    const queue = suite.open({ groups: GROUPS });
    const counts = async () => {
      const all = await Promise.all([queue.stats(), ...GROUPS.map((group) => queue.stats({ group }))]);
      return all.map(({ ready, unfinished }) => [ready, unfinished]);
    };
    await queue.publish('key', { n: 1 }, { group: 'a' });
    await queue.publish('key', { n: 2 }, { group: 'b' });
    expect(await counts()).toEqual([
      [2, 2],
      [1, 1],
      [1, 1],
    ]);
    await queue.publish('key', { n: 3 });
    await queue.publish('key', { n: 4 }, { group: 'b' });
    await queue.publish('key', { n: 5 }, { group: 'a', delay: 60_000 });
    await queue.publish('key', { n: 6 }, { group: 'b', delay: 60_000 });
    await queue.publish('key', { n: 7 }, { delay: 60_000 });
    expect(await counts()).toEqual([
      [4, 7],
      [2, 4],
      [3, 5],
    ]);
    const holder = new Holder(queue, { group: 'b' });
    await received(holder, 3);
    expect(await counts()).toEqual([
      // The other group has not received these yet.
      [2, 7],
      [2, 4],
      [0, 5],
    ]);
    await settle(holder);
    expect(await counts()).toEqual([
      [2, 5],
      [2, 4],
      [0, 2],
    ]);
    const other = new Holder(queue, { group: 'a' });
    await received(other, 2);
    await settle(other);
    expect(await counts()).toEqual([
      [0, 3],
      [0, 2],
      [0, 2],
    ]);
  });

  it('is counted by another backend of the process, also after a delay', async () => {
    const queue = suite.open({ groups: GROUPS });
    for (const group of GROUPS) await queue.publish('key', {}, { group, delay: 20 });
    const other = suite.open({ groups: GROUPS });
    await eventually(async () => (await other.stats()).ready === 2);
    expect(await other.stats()).toEqual({ ready: 2, unfinished: 2 });
  });

  it('is not counted after another process has consumed it', async () => {
    const queue = suite.open({ groups: GROUPS });
    for (const group of GROUPS) for (const n of upTo(3)) await queue.publish('key', { n }, { group });
    for (const n of upTo(2)) await queue.publish('key', { n });
    expect(await queue.stats()).toEqual({ ready: 8, unfinished: 8 });
    const channel = await suite.channel();
    for (const group of GROUPS)
      for (const _ of upTo(3)) await channel.basicGet({ queue: suite.names.group(group).queue, noAck: true });
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
  });

  it('is stored although the queue or the exchange of the group was deleted', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ groups: GROUPS, logger });
    const only = (n: number) => queue.publish('key', { n }, { group: 'a' });
    await only(1);
    const channel = await suite.channel();
    const { queue: name } = suite.names.group('a');
    await channel.queueDelete(name);
    await only(2);
    await channel.exchangeDelete({ exchange: name });
    await only(3);
    const holder = new Holder(queue, { group: 'a' });
    await received(holder, 2);
    expect(holder.numbers).toEqual([2, 3]);
  });

  it('is redelivered to the group that failed and not to one that has acknowledged it', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 1 });
    const [a, b] = GROUPS.map((group) => new Holder(queue, { group })) as [Holder, Holder];
    await received(a, 1);
    await received(b, 1);
    await b.of(1).ack();
    const { key, payload, headers } = a.of(1);
    await queue.publish(key, payload, { headers, group: 'a' });
    await a.of(1).ack();
    await received(a, 2);
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 0 });
    expect(b.deliveries).toHaveLength(1);
  });
});

describeWithRabbitMq('A group that is added to a running queue on RabbitMQ', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  it('starts with the next message', async () => {
    const before = suite.open({ groups: ['a'] });
    await before.publish('key', { n: 1 });
    const after = suite.open({ groups: GROUPS });
    expect(await after.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 0 });
    // The group exists, so it also receives messages of a process that does not declare it.
    await before.publish('key', { n: 2 });
    await after.publish('key', { n: 3 });
    const holders = GROUPS.map((group) => new Holder(after, { group }));
    await eventually(() => holders.every(({ numbers }) => numbers.includes(3)));
    expect(holders.map(({ numbers }) => numbers)).toEqual([
      [1, 2, 3],
      [2, 3],
    ]);
  });
});
