import { UnsupportedOperationError } from 'sluice';
import { BrokerBackend } from '../../src/core/broker-backend.js';
import type { Administration } from '../../src/rabbitmq/administration.js';
import { checkRabbitMqOptions, type RabbitMqBackendOptions } from '../../src/rabbitmq/options.js';
import { RabbitMqBroker } from '../../src/rabbitmq/rabbitmq-broker.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { silentLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/** A queue, and the administration of its broker. */
class Managed extends BrokerBackend {
  readonly administration: Administration;

  constructor(options: RabbitMqBackendOptions) {
    const checked = checkRabbitMqOptions(options);
    const broker = new RabbitMqBroker(checked);
    super(checked, broker);
    this.administration = broker.administration;
  }
}

const { signal } = new AbortController();

describeWithRabbitMq('The administration of a RabbitMqBackend', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const open = (options: Partial<RabbitMqBackendOptions> = {}) => {
    const queue = new Managed({ url: suite.url, name: suite.name, logger: silentLogger, ...options });
    suite.ending(() => queue.close());
    return queue;
  };
  const came = (holder: Holder, count: number) => eventually(() => holder.deliveries.length === count);
  const idle = { ready: 0, unfinished: 0 };
  const onServer = async () => {
    const named = async (list: string) => (await suite.rows(list, 'name')).map(([name]) => name ?? '');
    return [...(await named('list_queues')), ...(await named('list_exchanges'))].filter((name) =>
      name.startsWith(suite.name),
    );
  };

  it('lists the declared groups, and `default` where another process has created it', async () => {
    const queue = open({ groups: ['a', 'b'] });
    expect(await queue.administration.groups(signal)).toEqual([
      { name: 'a', declared: true, ...idle, consumers: 0 },
      { name: 'b', declared: true, ...idle, consumers: 0 },
    ]);
    const other = suite.open();
    await other.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { group: 'b', delay: 60_000 });
    const holders = [new Holder(queue, { group: 'a' }), new Holder(suite.open({ groups: ['a'] }), { group: 'a' })];
    await eventually(() => holders.some(({ held }) => held.length > 0));
    await eventually(async () => (await queue.administration.groups(signal))[0]?.consumers === 2);
    const [a, ...rest] = await queue.administration.groups(signal);
    expect(a).toMatchObject({ name: 'a', declared: true, ready: 0 });
    expect(rest).toEqual([
      { name: 'b', declared: true, ready: 1, unfinished: 2, consumers: 0 },
      { name: 'default', declared: false, ready: 1, unfinished: 1, consumers: 0 },
    ]);
  });

  it('deletes a group with all that it has on the server', async () => {
    const before = suite.open({ groups: ['a', 'b'] });
    await before.publish('key', { n: 1 });
    await before.publish('key', { n: 2 }, { group: 'b', delay: 60_000 });
    const holder = new Holder(before, { group: 'b' });
    await came(holder, 1);
    expect(await holder.of(1).nack({ delay: 60_000 })).toBe(true);
    await before.close();
    const { administration } = open({ groups: ['a'] });
    expect(await administration.deleteGroup('b', signal)).toBe(true);
    expect((await onServer()).filter((name) => name.includes(':group:b'))).toEqual([]);
    expect(await onServer()).toEqual(expect.arrayContaining([suite.names.group('a').queue, suite.names.exchange]));
    expect(await administration.deleteGroup('b', signal)).toBe(false);
  });

  it('goes on deleting a group where another call was interrupted', async () => {
    await suite.open({ groups: ['a', 'b'] }).stats();
    const channel = await suite.channel();
    const { queue, again } = suite.names.group('b');
    await channel.exchangeDelete({ exchange: again });
    await channel.queueDelete(again);
    const { administration } = open({ groups: ['a'] });
    expect(await administration.deleteGroup('b', signal)).toBe(true);
    expect(await suite.length(queue)).toBeUndefined();
  });

  it('removes what waits and what is delayed, but nothing that is in flight', async () => {
    const queue = open();
    for (const n of upTo(3)) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 1 });
    await came(holder, 1);
    await holder.of(1).nack({ delay: 60_000 });
    await came(holder, 2);
    await queue.publish('key', { n: 4 }, { delay: 60_000 });
    await queue.publish('key', { n: 5 }, { delay: 60_000, group: 'default' });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 5 });
    // 1, 3, 4 and 5.
    expect(await queue.administration.purge(undefined, signal)).toBe(4);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    expect(await holder.of(2).ack()).toBe(true);
    expect(await queue.stats()).toEqual(idle);
    expect(await queue.administration.purge('default', signal)).toBe(0);
    await queue.publish('key', { n: 6 });
    await came(holder, 3);
    expect(holder.numbers).toEqual([1, 2, 6]);
  });

  it('removes a message that was prefetched here and waits for credit', async () => {
    const queue = open();
    for (const n of upTo(2)) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 1 });
    await came(holder, 1);
    await holder.of(1).nack({ delay: 20 });
    await came(holder, 2);
    // The broker has delivered it: there is none in a queue.
    const { queue: name, again, delay } = suite.names.group('default');
    await eventually(async () => {
      const lengths = await Promise.all([name, again, `${delay}:0`, `${delay}:1`].map((each) => suite.length(each)));
      return (await queue.stats()).ready === 1 && lengths.every((length) => (length ?? 0) === 0);
    });
    expect(await queue.administration.purge('default', signal)).toBe(1);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    await holder.of(2).ack();
    await queue.publish('key', { n: 3 });
    await came(holder, 3);
    expect(holder.numbers).toEqual([1, 2, 3]);
  });

  it('removes what a subscriber has returned just before', async () => {
    const queue = open();
    for (const n of upTo(9)) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 4 });
    await came(holder, 4);
    holder.subscription.unsubscribe();
    expect(await queue.administration.purge(undefined, signal)).toBe(9);
    expect(await queue.stats()).toEqual(idle);
  });

  it('counts a message once over all groups', async () => {
    const queue = open({ groups: ['a', 'b'] });
    for (const n of upTo(3)) await queue.publish('key', { n });
    await queue.publish('key', { n: 4 }, { group: 'a' });
    await queue.publish('key', { n: 5 }, { group: 'b' });
    await queue.publish('key', { n: 6 }, { delay: 60_000 });
    await queue.publish('key', { n: 7 }, { group: 'b', delay: 60_000 });
    const holder = new Holder(queue, { group: 'a', prefetch: 1 });
    await came(holder, 1);
    expect(await queue.administration.purge(undefined, signal)).toBe(7);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
  });

  it('removes from one group only what the other groups do not share', async () => {
    const queue = open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 60_000 });
    await queue.publish('key', { n: 3 }, { delay: 60_000, group: 'b' });
    expect(await queue.administration.purge('b', signal)).toBe(2);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 1, unfinished: 2 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 1 });
  });

  it('shows no messages, and says what does', () => {
    const { administration } = open();
    expect(() => administration.peek()).toThrow(UnsupportedOperationError);
    expect(() => administration.peek('b')).toThrow(/management UI.*release/);
    expect(() => administration.peek('b')).toThrow(suite.names.group('b').queue);
  });

  it('goes on over the next connection when one is lost', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = open({ url });
    await queue.publish('key', { n: 1 });
    await queue.stats();
    proxy.cut();
    expect(await queue.administration.groups(signal)).toEqual([
      { name: 'default', declared: true, ready: 1, unfinished: 1, consumers: 0 },
    ]);
    proxy.cut();
    expect(await queue.administration.purge(undefined, signal)).toBe(1);
  });

  it('gives up when its caller does', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = open({ url });
    await queue.stats();
    await proxy.refuse();
    proxy.cut();
    const giving = new AbortController();
    const calls = [
      queue.administration.groups(giving.signal),
      queue.administration.purge(undefined, giving.signal),
      queue.administration.deleteGroup('x', giving.signal),
    ];
    giving.abort(new Error('enough'));
    for (const call of calls) await expect(call).rejects.toThrow('enough');
  });
});
