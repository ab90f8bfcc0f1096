import { receive } from 'sluice';
import { RedisBackend, type RedisBackendOptions } from 'sluice/redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('RedisBackend with `create: false`', () => {
  const suite = new RedisSuite();

  const open = (options: Partial<RedisBackendOptions> = {}) =>
    // An error that were retried would come after the timeout, as another one.
    suite.open({ create: false, publishTimeout: 60_000, ...options });

  const groups = async () => {
    const infos = (await suite.run('XINFO', 'GROUPS', suite.name)) as [string, string][];
    return infos.map(([, name]) => name).toSorted();
  };

  /** Each call on a queue, by name. */
  const CALLS: readonly [name: string, call: (queue: RedisBackend) => Promise<unknown>][] = [
    ['publish', (queue) => queue.publish('key', { n: 1 })],
    ['a delayed publish', (queue) => queue.publish('key', { n: 1 }, { delay: 10, id: 'one' })],
    ['stats', (queue) => queue.stats()],
    ['stats of a group', (queue) => queue.stats({ group: 'default' })],
    ['groups', (queue) => queue.groups()],
    ['deleteGroup', (queue) => queue.deleteGroup('other')],
    ['peek', (queue) => queue.peek()],
    ['purge', (queue) => queue.purge()],
    ['purge of a group', (queue) => queue.purge({ group: 'default' })],
    ['diagnose', (queue) => queue.diagnose()],
    ['deliveries', (queue) => receive(queue)],
  ];

  const notFound = (what: string) => ({
    name: 'QueueNotFoundError',
    code: 'SLUICE_QUEUE_NOT_FOUND',
    message: `Queue "${suite.name}" ${what} (Redis at 127.0.0.1:${suite.server.port})`,
  });

  it.each(CALLS)('refuses %s if the queue does not exist, and creates nothing', async (_name, call) => {
    expect(await failureOf(call(open()))).toMatchObject(notFound('does not exist'));
    expect(await failureOf(call(open({ groups: ['default', 'audit'] })))).toMatchObject(notFound('does not exist'));
    expect(await suite.keys()).toEqual([]);
  });

  it.each(CALLS)('refuses %s if a declared group does not exist, and creates nothing', async (_name, call) => {
    await suite.open({ groups: ['default'] }).stats();
    const queue = open({ groups: ['default', 'audit'] });
    expect(await failureOf(call(queue))).toMatchObject(notFound('has no group "audit"'));
    expect(await groups()).toEqual(['default']);
    await suite.open({ groups: ['audit'] }).stats();
    await queue.stats();
  });

  it.each(CALLS)('refuses %s after another program has deleted the queue', async (_name, call) => {
    await suite.open().stats();
    const queue = open();
    await queue.stats();
    await suite.run('DEL', suite.name, suite.key('bell'));
    expect(await failureOf(call(queue))).toMatchObject(notFound('does not exist'));
    expect(await suite.keys()).toEqual([]);
  });

  it('works like every other backend on a queue that exists', async () => {
    const declaring = suite.open({ groups: ['a', 'b'] });
    await declaring.stats();
    const queue = open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { group: 'b', delay: 1 });
    const holders = ['a', 'b'].map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
    await eventually(() => holders[0]?.deliveries.length === 1 && holders[1]?.deliveries.length === 2);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    // Everything was consumed: the stream is empty, and the queue still exists.
    await suite.disconnect();
    await eventually(() => queue.publish('key', { n: 3 }).then(() => true));
    await eventually(() => holders.every(({ numbers }) => numbers.includes(3)));
    expect(await queue.groups()).toHaveLength(2);
  });

  it('needs only the queue without `groups`, and does not create `default`', async () => {
    const declaring = suite.open({ groups: ['billing'] });
    await declaring.publish('key', { n: 1 });
    const queue = open();
    await queue.publish('key', { n: 2 });
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
    const missing = notFound('has no group "default"');
    for (const call of [
      receive(queue),
      queue.publish('key', { n: 3 }, { group: 'default' }),
      queue.publish('key', { n: 3 }, { group: 'default', delay: 10 }),
      queue.stats({ group: 'default' }),
      queue.peek(),
      queue.purge({ group: 'default' }),
    ])
      expect(await failureOf(call)).toMatchObject(missing);
    expect(await groups()).toEqual(['billing']);
    expect(await declaring.stats({ group: 'billing' })).toEqual({ ready: 2, unfinished: 2 });
  });

  it('ends a stream, waiting or busy, when the queue is deleted', async () => {
    await suite.open({ groups: ['idle', 'busy'] }).publish('key', { n: 1 }, { group: 'busy' });
    const queue = open({ lease: 300 });
    const own = open({ groups: ['idle', 'busy'], lease: 300 });
    const [idle, busy] = ['idle', 'busy'].map((group) => new Holder(own, { group })) as [Holder, Holder];
    await eventually(() => busy.deliveries.length === 1);
    await queue.stats();
    await suite.run('DEL', suite.name, suite.key('bell'), suite.key('addressed'));
    await eventually(() => idle.error !== undefined && busy.error !== undefined);
    expect([idle.error, busy.error]).toMatchObject([{ name: 'QueueNotFoundError' }, { name: 'QueueNotFoundError' }]);
    expect(await failureOf(queue.publish('key', { n: 2 }))).toMatchObject(notFound('does not exist'));
    await own.close();
    await queue.close();
    expect(await suite.keys()).toEqual([]);
  });

  it('consumes for a group that another program has created without the wake stream', async () => {
    await suite.run('XGROUP', 'CREATE', suite.name, 'default', '0', 'MKSTREAM');
    const queue = open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await holder.of(1).nack();
    await eventually(() => holder.deliveries.length === 2);
  });

  it('is read from QUEUE_CREATE', async () => {
    const env = { REDIS_URL: suite.url, QUEUE_NAME: suite.name, QUEUE_CREATE: 'false' };
    const queue = RedisBackend.fromEnv(env, { logger: silentLogger });
    suite.ending(() => queue.close());
    expect(await failureOf(queue.stats())).toMatchObject(notFound('does not exist'));
  });

  it('logs nothing but the end of consumers', async () => {
    const logger = recordingLogger();
    const queue = open({ logger });
    await failureOf(queue.publish('key', {}));
    await failureOf(receive(queue));
    expect(logger.warnings).toEqual([]);
    expect(logger.errors).toEqual([expect.stringContaining('does not exist')]);
  });
});
