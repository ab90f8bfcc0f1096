import { ConfigurationError, receive } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const acking = (delivery: { ack(): unknown }) => void delivery.ack();

describeWithRedis('RedisBackend without the option `groups`', () => {
  const suite = new RedisSuite();

  const groups = async (): Promise<string[]> => {
    const infos = (await suite.run('XINFO', 'GROUPS', suite.name)) as [string, string][];
    return infos.map(([, name]) => name).toSorted();
  };

  it('creates `default` if the queue has no group yet', async () => {
    await suite.open().publish('key', { n: 1 });
    expect(await groups()).toEqual(['default']);
  });

  it('publishes to the existing groups and creates none', async () => {
    const declaring = suite.open({ groups: ['billing', 'audit'] });
    await declaring.stats();
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await suite.disconnect();
    await queue.publish('key', { n: 3 });
    expect(await groups()).toEqual(['audit', 'billing']);
    const holders = ['billing', 'audit'].map((group) => new Holder(declaring, { group }, acking));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 3));
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(await suite.length()).toBe(0);
    await queue.publish('key', { n: 4 });
    expect(await groups()).toEqual(['audit', 'billing']);
  });

  it('does not create `default` if another process has created groups since FLUSHALL', async () => {
    const queue = suite.open();
    const declaring = suite.open({ groups: ['billing'] });
    await Promise.all([queue.stats(), declaring.stats()]);
    await suite.run('FLUSHALL');
    await declaring.publish('key', { n: 1 });
    await suite.run('XTRIM', suite.name, 'MAXLEN', '0');
    await queue.publish('key', { n: 2 });
    expect(await groups()).toEqual(['billing']);
  });

  it('creates `default` for a consumer, with all messages of the queue', async () => {
    const declaring = suite.open({ groups: ['billing'] });
    for (const n of [1, 2]) await declaring.publish('key', { n });
    const queue = suite.open();
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 2, unfinished: 2 });
    expect(await groups()).toEqual(['billing']);
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.attempts).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(await groups()).toEqual(['billing', 'default']);
    await queue.publish('key', { n: 3 });
    await eventually(() => holder.deliveries.length === 3);
    expect(await declaring.stats({ group: 'billing' })).toEqual({ ready: 3, unfinished: 3 });
  });

  it('creates `default` when a message is published for it', async () => {
    const declaring = suite.open({ groups: ['billing'] });
    await declaring.publish('key', { n: 1 });
    const queue = suite.open();
    await queue.publish('key', { n: 2 }, { group: 'default' });
    expect(await groups()).toEqual(['billing', 'default']);
    expect(await declaring.stats({ group: 'billing' })).toEqual({ ready: 1, unfinished: 1 });
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 2, unfinished: 2 });
  });

  it('keeps a declared group `default`', async () => {
    await suite.open({ groups: ['billing'] }).stats();
    await suite.open({ groups: ['default'] }).publish('key', { n: 1 });
    expect(await groups()).toEqual(['billing', 'default']);
  });
});

describeWithRedis('An undeclared group', () => {
  const suite = new RedisSuite();

  it('is refused and not created', async () => {
    const queue = suite.open({ groups: ['a'] });
    await queue.publish('key', { n: 1 });
    expect(() => queue.consume({ group: 'b' })).toThrow(ConfigurationError);
    expect(() => queue.deliveries()).toThrow(ConfigurationError);
    for (const refused of [
      receive(queue),
      receive(queue, { group: 'b' }),
      queue.stats({ group: 'b' }),
      queue.publish('key', {}, { group: 'b' }),
    ]) {
      expect(await failureOf(refused)).toBeInstanceOf(ConfigurationError);
    }
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    const infos = (await suite.run('XINFO', 'GROUPS', suite.name)) as [string, string][];
    expect(infos.map(([, name]) => name)).toEqual(['a']);
  });
});

describeWithRedis('A group that is added to the declaration of a running queue', () => {
  const suite = new RedisSuite();

  it('receives the messages of the queue, also those that a process without this group settles', async () => {
    const running = suite.open({ groups: ['early'] });
    const early = new Holder(running, { group: 'early', prefetch: 5 });
    await Promise.all(upTo(10).map((n) => running.publish('key', { n })));
    await running.publish('key', { n: 11 }, { delay: 1 });
    await running.publish('key', { n: 12 }, { group: 'early' });
    await eventually(() => early.deliveries.length === 5);
    await Promise.all([1, 2, 4].map((n) => early.of(n).ack()));
    const upgraded = suite.open({ groups: ['early', 'late'] });
    expect((await upgraded.stats({ group: 'late' })).unfinished).toBe(8);
    void new Holder(running, { group: 'early' }, acking);
    await Promise.all(early.held.map((delivery) => delivery.ack()));
    early.subscription.unsubscribe();
    await eventually(async () => (await running.stats({ group: 'early' })).unfinished === 0);
    await running.publish('key', { n: 13 });
    const late = new Holder(upgraded, { group: 'late' }, acking);
    await eventually(() => late.deliveries.length === 9);
    expect(late.numbers).toEqual([3, 5, 6, 7, 8, 9, 10, 11, 13]);
    await eventually(async () => (await upgraded.stats()).unfinished === 0);
    expect(await suite.length()).toBe(0);
  });
});
