import { receive } from 'sluice';
import { migrations, PostgresBackend, type PostgresBackendOptions } from 'sluice/postgres';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('PostgresBackend with `create: false`', () => {
  const suite = new PostgresSuite();

  const open = (options: Partial<PostgresBackendOptions> = {}) =>
    // An error that were retried would come after the timeout, as another one.
    suite.open({ create: false, publishTimeout: 60_000, ...options });

  const groups = async () =>
    (
      await suite.run<{ name: string }>(
        'SELECT g.name FROM sluice.groups g JOIN sluice.queues q ON q.id = g.queue WHERE q.name = $1 ORDER BY 1',
        [suite.name],
      )
    ).map(({ name }) => name);

  const queues = () => suite.run('SELECT FROM sluice.queues WHERE name = $1', [suite.name]);

  const deleteRows = async () => {
    await suite.run('DELETE FROM sluice.groups WHERE queue = (SELECT id FROM sluice.queues WHERE name = $1)', [
      suite.name,
    ]);
    await suite.run('DELETE FROM sluice.queues WHERE name = $1', [suite.name]);
  };

  const within = async (queue: PostgresBackend) => {
    const client = await suite.begin();
    await queue.within(client).publish('key', { n: 1 });
  };

  const CALLS: readonly [name: string, call: (queue: PostgresBackend) => Promise<unknown>][] = [
    ['publish', (queue) => queue.publish('key', { n: 1 })],
    ['a delayed publish', (queue) => queue.publish('key', { n: 1 }, { delay: 10, id: 'one' })],
    ['a publish in a transaction', within],
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
    message: `Queue "${suite.name}" ${what} (PostgreSQL at 127.0.0.1:${suite.server.port})`,
  });

  describe('in a database with the tables', () => {
    beforeAll(async () => {
      for (const sql of migrations()) await suite.run(sql);
    });

    it.each(CALLS)('refuses %s if the queue does not exist, and creates nothing', async (_name, call) => {
      expect(await failureOf(call(open()))).toMatchObject(notFound('does not exist'));
      expect(await failureOf(call(open({ groups: ['default', 'audit'] })))).toMatchObject(notFound('does not exist'));
      expect(await queues()).toEqual([]);
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
      await deleteRows();
      expect(await failureOf(call(queue))).toMatchObject(notFound('does not exist'));
      expect(await queues()).toEqual([]);
    });

    it('works like every other backend on a queue that exists', async () => {
      await suite.open({ groups: ['a', 'b'] }).stats();
      const queue = open({ groups: ['a', 'b'] });
      await queue.publish('key', { n: 1 });
      await queue.publish('key', { n: 2 }, { group: 'b', delay: 1 });
      await within(queue);
      const holders = ['a', 'b'].map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
      await eventually(() => holders[0]?.deliveries.length === 1 && holders[1]?.deliveries.length === 2);
      await eventually(async () => (await queue.stats()).unfinished === 0);
      await suite.disconnect();
      await eventually(() => queue.publish('key', { n: 3 }).then(() => true));
      await eventually(() => holders.every(({ numbers }) => numbers.includes(3)));
    });

    it('needs only the queue without `groups`, and does not create `default`', async () => {
      await suite.open({ groups: ['billing'] }).publish('key', { n: 1 });
      const queue = open();
      await queue.publish('key', { n: 2 });
      expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
      const missing = notFound('has no group "default"');
      const calls: (() => Promise<unknown>)[] = [
        () => receive(queue),
        () => queue.publish('key', { n: 3 }, { group: 'default' }),
        () => queue.publish('key', { n: 3 }, { group: 'default', delay: 10 }),
        () => queue.stats({ group: 'default' }),
        () => queue.peek(),
        () => queue.purge({ group: 'default' }),
      ];
      for (const call of calls) expect(await failureOf(call())).toMatchObject(missing);
      expect(await groups()).toEqual(['billing']);
      expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
    });

    it('ends a stream, waiting or busy, when the queue is deleted', async () => {
      await suite.open({ groups: ['idle', 'busy'] }).publish('key', { n: 1 }, { group: 'busy' });
      const queue = open({ groups: ['idle', 'busy'], lease: 300 });
      const [idle, busy] = ['idle', 'busy'].map((group) => new Holder(queue, { group })) as [Holder, Holder];
      await eventually(() => busy.deliveries.length === 1);
      await deleteRows();
      await eventually(() => idle.error !== undefined && busy.error !== undefined);
      expect([idle.error, busy.error]).toMatchObject([{ name: 'QueueNotFoundError' }, { name: 'QueueNotFoundError' }]);
      await queue.close();
      expect(await queues()).toEqual([]);
    });

    it('is read from QUEUE_CREATE', async () => {
      const env = { POSTGRES_URL: suite.url, QUEUE_NAME: suite.name, QUEUE_CREATE: 'false' };
      const queue = PostgresBackend.fromEnv(env, { logger: silentLogger });
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

  it.each(CALLS)('refuses %s without the tables, and creates no schema', async (_name, call) => {
    expect(await failureOf(call(open({ schema: 'missing' })))).toMatchObject(notFound('does not exist'));
    expect(await suite.run("SELECT FROM pg_namespace WHERE nspname = 'missing'")).toEqual([]);
  });
});

describeWithPostgres('PostgresBackend with `create: true`', () => {
  const suite = new PostgresSuite();

  it('creates an undeclared `default` when a message is published for it', async () => {
    await suite.open({ groups: ['billing'] }).publish('key', { n: 1 });
    const queue = suite.open();
    await queue.publish('key', { n: 2 }, { group: 'default' });
    expect((await queue.groups()).map(({ name, unfinished }) => [name, unfinished])).toEqual([
      ['billing', 1],
      ['default', 2],
    ]);
  });
});
