import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { exercisePostgres } from '../support/postgres-exercise.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const TABLES = [
  'queues',
  'groups',
  'cursors',
  'messages',
  'unplaced',
  'claims',
  'requeued',
  'consumers',
  'batches',
  'ids',
  'quarantine',
];

describeWithPostgres('The deletion of a PostgreSQL queue', () => {
  const suite = new PostgresSuite();

  /** The number of rows of each table that has any. */
  const rows = async () => {
    const counts = TABLES.map((table) => `(SELECT count(*)::integer FROM sluice.${table}) AS ${table}`);
    const [found = {}] = await suite.run<Record<string, number>>(`SELECT ${counts.join(', ')}`);
    return Object.fromEntries(Object.entries(found).filter(([, count]) => count > 0));
  };

  beforeEach(async () => {
    await suite.open().stats();
    await suite.run(`TRUNCATE ${TABLES.map((table) => `sluice.${table}`).join(', ')}`);
  });

  it('leaves no row of a queue that has used every feature', async () => {
    await exercisePostgres(suite, (groups) => suite.open({ groups }), suite.url);
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 }, { id: 'fresh' });
    await queue.publish('key', { n: 2 }, { delay: 60_000, group: 'b' });
    await queue.publish('key', { n: 3 });
    const holder = new Holder(queue, { group: 'a', prefetch: 2 });
    await eventually(() => holder.deliveries.length === 2);
    await holder.of(1).nack({ delay: 60_000 });
    // The batches of publishers that have closed expire.
    await suite.run(
      'DELETE FROM sluice.batches WHERE publisher NOT IN (SELECT publisher FROM sluice.batches ORDER BY expires DESC LIMIT 1)',
    );
    expect(Object.keys(await rows()).toSorted()).toEqual(TABLES.toSorted());
    await queue.deleteQueue();
    expect(await rows()).toEqual({});
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ name: 'QueueClosedError' });
    await suite.open().publish('key', { n: 1 }, { id: 'fresh' });
    expect(await suite.open().stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('leaves other queues untouched, also those whose names begin alike', async () => {
    const others = [`${suite.name}-2`, `${suite.name}.`, `x${suite.name}`];
    for (const name of others) {
      const queue = suite.open({ name });
      await queue.publish('key', { n: 1 }, { id: 'one' });
      await queue.publish('key', { n: 2 }, { delay: 60_000 });
    }
    const before = await rows();
    const queue = suite.open();
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.deleteQueue();
    expect(await rows()).toEqual(before);
    for (const name of others) expect(await suite.open({ name }).stats()).toEqual({ ready: 1, unfinished: 2 });
  });

  it('completes the streams of this backend, which create nothing meanwhile', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ groups: ['a', 'b'], logger });
    const holders = ['a', 'a', 'b'].map((group) => new Holder(queue, { group, prefetch: 2 }));
    await Promise.all(upTo(10).map((n) => queue.publish('key', { n })));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 2));
    const publishes = Promise.allSettled(upTo(50).map((n) => queue.publish('key', { n }, { id: String(n) })));
    const acks = holders.flatMap(({ held }) => held.map((delivery) => delivery.ack()));
    await queue.deleteQueue();
    await publishes;
    await Promise.all(acks);
    expect(holders.map(({ completed, error }) => [completed, error])).toEqual(holders.map(() => [true, undefined]));
    expect(await rows()).toEqual({});
    expect(logger.errors).toEqual([]);
  });

  it('makes concurrent publishers of other backends create the queue again, or fail, and leaves no orphan', async () => {
    const queue = suite.open();
    await queue.stats();
    const others = upTo(4).map((n) => suite.open({ create: n % 2 === 0 }));
    await Promise.all(others.map((other) => other.stats()));
    const publishes = others.map(async (other) => {
      for (const n of upTo(30)) await other.publish('key', { n }, { id: `${n}` }).catch(() => {});
    });
    await queue.deleteQueue();
    await Promise.all(publishes);
    for (const table of ['messages', 'unplaced', 'ids', 'groups'])
      expect(await suite.run(`SELECT FROM sluice.${table} WHERE queue NOT IN (SELECT id FROM sluice.queues)`)).toEqual(
        [],
      );
  });

  it('does nothing to a queue that does not exist', async () => {
    await suite.open().deleteQueue();
    await suite.open({ create: false }).deleteQueue();
    await suite.open({ schema: 'missing' }).deleteQueue();
    await suite.open({ schema: 'missing', create: false }).deleteQueue();
    expect(await rows()).toEqual({});
    expect(await suite.run("SELECT FROM pg_namespace WHERE nspname = 'missing'")).toEqual([]);
  });

  it('ends consumers of other processes that must not create the queue', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(suite.open({ create: false, lease: 300 }));
    await eventually(() => holder.deliveries.length === 1);
    await queue.deleteQueue();
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ name: 'QueueNotFoundError' });
    expect(await rows()).toEqual({});
  });

  it('is refused as a whole without the rights', async () => {
    await suite.open().publish('key', { n: 1 });
    await suite.run('CREATE ROLE app LOGIN');
    await suite.run('GRANT USAGE ON SCHEMA sluice TO app');
    await suite.run('GRANT ALL ON ALL TABLES IN SCHEMA sluice TO app');
    await suite.run('REVOKE DELETE ON sluice.queues FROM app');
    const queue = suite.open({ url: suite.url.replace('//postgres@', '//app@') });
    expect((await failureOf(queue.deleteQueue())).message).toContain('permission denied for table queues');
    await queue.publish('key', { n: 2 });
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
  });
});
