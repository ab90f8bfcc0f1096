import { queueKeys } from '../../src/redis/keys.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { EXERCISED, exercise } from '../support/redis-exercise.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('The deletion of a Redis queue', () => {
  const suite = new RedisSuite();

  const allKeys = async () => (await suite.run('KEYS', '*')) as string[];

  beforeEach(() => suite.run('FLUSHALL'));

  it.each(['plain', 'with * [a-z] ? \\ {x}'])(
    'leaves no key of a queue that has used every feature: %j',
    async (name) => {
      suite.name = name;
      const open = (lease: number) => suite.open({ name, groups: EXERCISED, lease });
      // The helper reads the stream by its key.
      suite.name = queueKeys(name).stream;
      await exercise(suite, open, async () => {});
      const queue = open(30_000);
      await queue.publish('key', { n: 1 }, { id: 'one', delay: 60_000 });
      await queue.publish('key', { n: 2 }, { id: 'two', group: 'a' });
      await suite.run('SET', `${queueKeys(name).fence('gone')}somebody`, '1');
      expect((await allKeys()).length).toBeGreaterThan(8);
      await queue.deleteQueue();
      expect(await allKeys()).toEqual([]);
      expect(await failureOf(queue.publish('key', {}))).toMatchObject({ name: 'QueueClosedError' });
    },
  );

  it('leaves other queues untouched, also those whose names begin alike', async () => {
    const others = [`${suite.name}-2`, `${suite.name}:`, `${suite.name}:{${suite.name}}:delayed`, `x${suite.name}`];
    for (const name of others) {
      await suite.open({ name }).publish('key', { n: 1 }, { id: 'one' });
      await suite.open({ name }).publish('key', { n: 2 }, { delay: 60_000 });
    }
    const before = (await allKeys()).toSorted();
    const queue = suite.open();
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.deleteQueue();
    expect((await allKeys()).toSorted()).toEqual(before);
    for (const name of others) expect(await suite.open({ name }).stats()).toEqual({ ready: 1, unfinished: 2 });
  });

  it('finds the keys of the queue among many others', async () => {
    await suite.run('EVAL', "for i = 1, 30000 do redis.call('SET', 'other:' .. i, i) end", '0');
    const queue = suite.open();
    await Promise.all(upTo(500).map((n) => queue.publish('key', { n }, { id: `id-${n}` })));
    await queue.deleteQueue();
    expect(await suite.run('DBSIZE')).toBe(30_000);
  });

  it('completes the streams of this backend, which create nothing meanwhile', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ groups: ['a', 'b'], logger });
    const holders = ['a', 'a', 'b'].map((group) => new Holder(queue, { group, prefetch: 2 }));
    await Promise.all(upTo(10).map((n) => queue.publish('key', { n })));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 2));
    const publishes = Promise.allSettled(upTo(50).map((n) => queue.publish('key', { n }, { id: String(n) })));
    await queue.deleteQueue();
    await publishes;
    expect(holders.map(({ completed, error }) => [completed, error])).toEqual(holders.map(() => [true, undefined]));
    expect(await allKeys()).toEqual([]);
    expect(logger.errors).toEqual([]);
  });

  it('does nothing to a queue that does not exist', async () => {
    await suite.open().deleteQueue();
    expect(await allKeys()).toEqual([]);
    await suite.open({ create: false }).deleteQueue();
    expect(await allKeys()).toEqual([]);
  });

  it('ends consumers of other processes that must not create the queue', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(suite.open({ create: false }));
    await eventually(() => holder.deliveries.length === 1);
    await queue.deleteQueue();
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ name: 'QueueNotFoundError' });
    expect(await allKeys()).toEqual([]);
  });

  it('works while connections are lost', async () => {
    const queue = suite.open();
    await Promise.all(upTo(100).map((n) => queue.publish('key', { n }, { id: `id-${n}` })));
    void new Holder(queue);
    const deleted = queue.deleteQueue();
    await suite.disconnect();
    await deleted;
    expect(await allKeys()).toEqual([]);
  });

  it('is refused as a whole if the user may not list keys', async () => {
    await suite.open().publish('key', { n: 1 });
    await suite.run('ACL', 'SETUSER', 'app', 'reset', 'on', '>secret', '+@all', '-scan', '~*');
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    const queue = suite.open({ url: suite.url.replace('redis://', 'redis://app:secret@') });
    expect((await failureOf(queue.deleteQueue())).message).toContain('The user may not do what the queue needs');
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    await queue.publish('key', { n: 2 });
  });
});
