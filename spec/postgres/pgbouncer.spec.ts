import type { PostgresBackend, PostgresBackendOptions } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithPgBouncer } from '../support/servers/describe-with.js';
import { PgBouncer } from '../support/servers/pgbouncer.js';

/** What a session of the server still has between two transactions. */
interface Session {
  readonly query: string;
  readonly state: string;
  readonly locks: number;
}

describeWithPgBouncer('A queue behind PgBouncer in transaction mode', () => {
  const suite = new PostgresSuite();
  let pooler: PgBouncer;
  const open = (options: Partial<PostgresBackendOptions> = {}): PostgresBackend =>
    suite.open({ url: pooler.url, pollInterval: 20, ...options });

  beforeAll(async () => {
    // One session for all clients: whatever one of them leaves in it disturbs the others.
    pooler = await PgBouncer.start(suite.server, { default_pool_size: '1' });
  });

  afterAll(() => pooler?.stop());

  /** The sessions that PgBouncer has on the server. */
  const sessions = () =>
    suite.run<Session>(
      `SELECT query, state, (SELECT count(*)::integer FROM pg_locks l WHERE l.pid = a.pid) AS locks
       FROM pg_stat_activity a WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );

  it('publishes, delivers in order to each group, and counts', async () => {
    const queue = open({ groups: ['a', 'b'] });
    const others = [open({ groups: ['a', 'b'] }), open({ groups: ['a', 'b'] })];
    const a = new Holder(queue, { group: 'a', prefetch: 100 }, (delivery) => void delivery.ack());
    const b = new Holder(others[0] as PostgresBackend, { group: 'b', prefetch: 100 });
    for (const n of upTo(30)) await others[n % 2]?.publish('key', { n });
    await queue.publish('key', { n: 31 }, { group: 'b' });
    await eventually(() => a.deliveries.length === 30 && b.deliveries.length === 31);
    expect(a.numbers).toEqual(upTo(30));
    expect(b.numbers).toEqual(upTo(31));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 31 });
    expect(await Promise.all(b.held.map((delivery) => delivery.ack()))).not.toContain(false);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });

  it('delays, requeues and counts attempts', async () => {
    const queue = open();
    const holder = new Holder(queue, { prefetch: 10 });
    await queue.publish('key', { n: 1 }, { delay: 100 });
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.numbers).toEqual([2, 1]);
    expect(await holder.of(1).nack()).toBe(true);
    expect(await holder.of(2).nack({ delay: 100 })).toBe(true);
    await eventually(() => holder.deliveries.length === 4);
    expect(await holder.of(1).release()).toBe(true);
    await eventually(() => holder.deliveries.length === 5);
    expect(holder.attempts.slice(2)).toEqual([
      [1, 2],
      [2, 2],
      [1, 2],
    ]);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  });

  it('renews leases, and gives the messages of a dead consumer to another one', async () => {
    const { proxy, url } = await suite.proxy();
    proxy.retarget(pooler.port);
    const dead = new Holder(open({ url: url.replace(/\/\/[^/]*@/, '//postgres@'), lease: 600 }), { prefetch: 1 });
    const queue = open({ lease: 600 });
    await queue.publish('key', { n: 1 });
    await eventually(() => dead.deliveries.length === 1);
    const live = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 2 });
    await eventually(() => live.deliveries.length === 1);
    await proxy.refuse();
    proxy.cut();
    live.of(2).ack();
    await eventually(() => live.deliveries.length === 2);
    expect(live.attempts).toEqual([
      [2, 1],
      [1, 2],
    ]);
    const expired = await suite.run("SELECT clock_timestamp() + interval '1 s' AS at");
    await eventually(
      async () => (await suite.run('SELECT clock_timestamp() > $1 AS over', [expired[0]?.at]))[0]?.over === true,
    );
    expect(await live.of(1).ack()).toBe(true);
  });

  it('is administrated, and deduplicates', async () => {
    const logger = recordingLogger();
    const foreign = open({ groups: ['default', 'old'] });
    const queue = open({ logger });
    for (const n of [1, 1, 2]) await foreign.publish('key', { n }, { id: `id-${n}` });
    await foreign.publish('key', { n: 3 }, { delay: 60_000 });
    expect(await queue.peek()).toMatchObject([{ id: 'id-1' }, { id: 'id-2' }, { payload: { n: 3 } }]);
    expect(await queue.groups()).toMatchObject([
      { name: 'default', ready: 2, unfinished: 3 },
      { name: 'old', ready: 2, unfinished: 3 },
    ]);
    await eventually(() => logger.warnings.some((message) => message.includes('"old"')));
    expect(await queue.deleteGroup('old')).toBe(true);
    expect(await queue.purge()).toBe(3);
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });

  it('leaves nothing in the sessions of the server', async () => {
    const queue = open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await queue.stats();
    // The pooler has one session: this looks into the one that the queue uses.
    expect(await pooler.run('SELECT name FROM pg_prepared_statements')).toEqual([]);
    expect(await pooler.run('SELECT pg_listening_channels()')).toEqual([]);
    expect(
      await pooler.run(
        "SELECT name FROM pg_settings WHERE source = 'session' AND name !~ '^(application_name|client_encoding|DateStyle|TimeZone|IntervalStyle|standard_conforming_strings)$'",
      ),
    ).toEqual([]);
    expect(await pooler.run("SELECT FROM pg_locks WHERE locktype = 'advisory'")).toEqual([]);
    await queue.close();
    const left = await sessions();
    expect(left).toHaveLength(1);
    expect(left).toMatchObject([{ state: 'idle', locks: 0 }]);
  });

  it('resumes after the pooler has restarted', async () => {
    const queue = open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await pooler.restart();
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.numbers.includes(2));
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });
});
