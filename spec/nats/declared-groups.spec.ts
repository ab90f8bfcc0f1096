import { ConfigurationError, type ConsumerGroup, receive } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { deleteNatsConsumer } from '../support/delete-nats-consumer.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** The requests of a backend in front of other groups, and where they are. */
class GroupsSuite extends NatsSuite {
  async exists(group: ConsumerGroup): Promise<boolean> {
    return this.group(group).then(
      () => true,
      () => false,
    );
  }

  async delete(group: ConsumerGroup): Promise<void> {
    await deleteNatsConsumer(await this.manager(), this.names.stream, this.names.consumer(group));
  }
}

describeWithNats('A NatsBackend that declares no groups', () => {
  const suite = new GroupsSuite();

  it('creates the group default if the queue has no group', async () => {
    await suite.open().publish('key', { n: 1 });
    expect(await suite.exists('default')).toBe(true);
    await suite.open().publish('key', { n: 2 });
    expect(await suite.open().stats({ group: 'default' })).toEqual({ ready: 2, unfinished: 2 });
  });

  it('publishes to the existing groups, and creates no other', async () => {
    await suite.open({ groups: ['a', 'b'] }).stats();
    const queue = suite.open();
    for (const n of upTo(3)) await queue.publish('key', { n });
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
    const owner = suite.open({ groups: ['a', 'b'] });
    for (const group of ['a', 'b']) {
      const holder = new Holder(owner, { group }, (delivery) => void delivery.ack());
      await eventually(() => holder.deliveries.length === 3);
    }
    await eventually(async () => (await suite.length()) === 0);
    expect(await suite.exists('default')).toBe(false);
  });

  it('creates no group after the connection was lost, or after the stream was deleted', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    proxy.cut();
    await queue.publish('key', { n: 2 });
    await (await suite.manager()).streams.delete(suite.names.stream);
    await queue.publish('key', { n: 3 });
    expect(await suite.exists('default')).toBe(false);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    const holder = new Holder(suite.open({ groups: ['a'] }), { group: 'a' });
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.numbers).toEqual([3]);
  });

  it('does not create a deleted group default again if there are others', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    await suite.open({ groups: ['a'] }).stats();
    await suite.delete('default');
    proxy.cut();
    await queue.publish('key', { n: 2 });
    expect(await suite.exists('default')).toBe(false);
  });

  it('creates the group default for a consumer, which gets all messages of the queue', async () => {
    const owner = suite.open({ groups: ['a'] });
    for (const n of upTo(2)) await owner.publish('key', { n });
    const queue = suite.open();
    await queue.publish('key', { n: 3 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 3);
    expect(holder.numbers).toEqual([1, 2, 3]);
    const a = new Holder(owner, { group: 'a' }, (delivery) => void delivery.ack());
    await eventually(() => a.deliveries.length === 3);
    expect(await suite.length()).toBe(3);
    for (const delivery of holder.held) expect(await delivery.ack()).toBe(true);
    await eventually(async () => (await suite.length()) === 0);
  });

  it('creates the group default for a message to that group', async () => {
    const owner = suite.open({ groups: ['a'] });
    await owner.stats();
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { group: 'default' });
    await queue.publish('key', { n: 3 });
    const a = new Holder(owner, { group: 'a' }, (delivery) => void delivery.ack());
    await eventually(() => a.deliveries.length === 2);
    expect(await suite.exists('default')).toBe(true);
    const holder = new Holder(suite.open(), {}, (delivery) => void delivery.ack());
    await eventually(() => holder.numbers.includes(3));
    expect(holder.numbers.filter((n) => n !== 1)).toEqual([2, 3]);
  });

  it('has the group default if it declares that group', async () => {
    await suite.open({ groups: ['a'] }).stats();
    await suite.open({ groups: ['default'] }).publish('key', { n: 1 });
    expect(await suite.exists('default')).toBe(true);
  });
});

describeWithNats('A NatsBackend with a consumer for an undeclared group', () => {
  const suite = new GroupsSuite();

  it('refuses the consumer, and creates no group', async () => {
    const queue = suite.open({ groups: ['a'] });
    const calls = [
      () => receive(queue),
      () => receive(queue, { group: 'b' }),
      () => queue.stats({ group: 'b' }),
      () => queue.publish('key', { n: 0 }, { group: 'b' }),
      async () => queue.deliveries({ group: 'b' }),
      async () => queue.consume({ group: 'b' }),
      async () => queue.deliveries(),
    ];
    for (const call of calls) expect(await failureOf(call())).toBeInstanceOf(ConfigurationError);
    await queue.publish('key', { n: 1 });
    for (const group of ['default', 'b']) expect(await suite.exists(group)).toBe(false);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });
});

describeWithNats('A group that is added to a queue in use', () => {
  const suite = new GroupsSuite();

  it('gets the messages of the queue, and none that all other groups have settled', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const [a, b] = ['a', 'b'].map((group) => new Holder(queue, { group })) as [Holder, Holder];
    for (const n of upTo(5)) await queue.publish('key', { n });
    await queue.publish('key', { n: 6 }, { group: 'a' });
    await queue.publish('key', { n: 7 }, { delay: 300 });
    await eventually(() => a.deliveries.length >= 6 && b.deliveries.length >= 5);
    for (const n of [1, 2]) for (const holder of [a, b]) await holder.of(n).ack();
    await a.of(3).ack();
    // The delayed message may be in the stream already.
    const { streams } = await suite.manager();
    await eventually(async () => (await streams.info(suite.names.stream)).state.first_seq === 3);
    const late = suite.open({ groups: ['a', 'b', 'late'] });
    expect((await late.stats({ group: 'late' })).unfinished).toBe(4);
    const holder = new Holder(late, { group: 'late' });
    await queue.publish('key', { n: 8 });
    await eventually(() => holder.deliveries.length === 5);
    expect(holder.numbers.toSorted((one, other) => one - other)).toEqual([3, 4, 5, 7, 8]);
  });

  it('gets no settled message that another process is about to remove', async () => {
    const queue = suite.open({ groups: ['a'] });
    const a = new Holder(queue, { group: 'a' });
    // On NATS 2.10 and newer, messages that are settled soon after a removal wait for the next one.
    await queue.publish('key', { n: 0 });
    await eventually(() => a.deliveries.length === 1);
    await a.of(0).ack();
    await eventually(async () => (await suite.length()) === 0);
    for (const n of upTo(4)) await queue.publish('key', { n });
    await eventually(() => a.deliveries.length === 5);
    for (const n of [1, 2]) await a.of(n).ack();
    const late = new Holder(suite.open({ groups: ['a', 'late'] }), { group: 'late' });
    await eventually(() => late.numbers.includes(4));
    expect(late.numbers).toEqual([3, 4]);
  });

  it('is created if the process that settled messages died before it removed them', async () => {
    const queue = suite.open({ groups: ['a'] });
    for (const n of upTo(2)) await queue.publish('key', { n });
    await queue.close();
    const { stream, consumer } = suite.names;
    const connection = await suite.connection();
    const { reply = '' } = await connection.request(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer('a')}`, '1', {
      timeout: 5000,
      noMux: true,
    });
    await connection.request(reply, '+ACK', { timeout: 5000 });
    const late = new Holder(suite.open({ groups: ['a', 'late'] }), { group: 'late' });
    await eventually(() => late.numbers.includes(2));
  });
});
