import { Pool } from 'pg';
import type { QueueDiagnosis } from 'sluice';
import type { PostgresBackendOptions } from 'sluice/postgres';
import { diagnose } from '../../src/postgres/diagnosis.js';
import { RIGHTS } from '../../src/postgres/rights.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { describeWithPgBouncer, describeWithPostgres } from '../support/servers/describe-with.js';
import { PgBouncer } from '../support/servers/pgbouncer.js';
import { PostgresServer } from '../support/servers/postgres-server.js';

/** The code and the severity of each finding. */
function codes({ findings }: QueueDiagnosis): string[] {
  return findings.map(({ code, severity }) => `${severity} ${code}`).toSorted();
}

/** The statements of a command line of `psql` without `'` in them. */
function statements(command = ''): string[] {
  return [...command.matchAll(/-c '([^']+)'/g)].map(([, sql = '']) => sql);
}

describeWithPostgres('The diagnosis of a PostgreSQL queue', () => {
  const suite = new PostgresSuite({
    durable: true,
    config: { max_prepared_transactions: '5' },
  });

  const diagnosed = async (options: Partial<PostgresBackendOptions> = {}) => {
    const queue = suite.open(options);
    const diagnosis = await queue.diagnose();
    await queue.close();
    return diagnosis;
  };

  /** Diagnoses the test's queue as if each open transaction were old. */
  const diagnosedNow = async (role = 'postgres') => {
    await suite.open().stats();
    const pool = new Pool({ connectionString: suite.url.replace('//postgres@', `//${role}@`), max: 1 });
    suite.ending(() => pool.end());
    return diagnose({
      query: async <Row>(text: string, values?: unknown[]) => (await pool.query(text, values)).rows as Row[],
      schema: 'sluice',
      queue: suite.name,
      lease: 30_000,
      clients: [],
      isEmbedded: false,
      isInMemory: false,
      isPooled: false,
      longTransaction: 0,
    });
  };

  it('finds nothing on a server that is well configured, and changes nothing', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    const before = await suite.tables();
    const diagnosis = await queue.diagnose();
    expect(diagnosis).toEqual({
      server: expect.stringMatching(/^PostgreSQL \d+\.\d+$/),
      clients: ['pg'],
      clockDifference: expect.any(Number),
      findings: [],
    });
    expect(Math.abs(diagnosis.clockDifference ?? Number.NaN)).toBeLessThan(60_000);
    expect(await suite.tables()).toEqual(before);
  });

  it('names no client that the application passes', async () => {
    const client = new Pool({ connectionString: suite.url });
    suite.ending(() => client.end());
    expect(await diagnosed({ client })).toMatchObject({ clients: [], findings: [] });
  });

  it.each([
    ['fsync', 'off', 'problem postgres-fsync'],
    ['full_page_writes', 'off', 'problem postgres-full-page-writes'],
    ['synchronous_commit', 'off', 'problem postgres-synchronous-commit'],
    ['synchronous_commit', 'local', 'note postgres-synchronous-commit'],
    ['autovacuum', 'off', 'problem postgres-autovacuum'],
    ['track_counts', 'off', 'problem postgres-track-counts'],
  ])('finds `%s = %s`, and the command mends it', async (name, value, found) => {
    const current = async () =>
      (await suite.server.run<{ value: string }>(`SELECT current_setting('${name}') AS value`))[0]?.value;
    suite.ending(async () => {
      await suite.run(`ALTER SYSTEM RESET ${name}`);
      await suite.run('SELECT pg_reload_conf()');
    });
    await suite.run(`ALTER SYSTEM SET ${name} = ${value}`);
    await suite.run('SELECT pg_reload_conf()');
    await eventually(async () => (await current()) === value);
    const diagnosis = await diagnosed();
    expect(codes(diagnosis)).toEqual([found]);
    for (const sql of statements(diagnosis.findings[0]?.command)) await suite.run(sql);
    await eventually(async () => (await current()) === 'on');
    expect(codes(await diagnosed())).toEqual([]);
  });

  it.each(['ROLE postgres', 'DATABASE postgres', 'ROLE postgres IN DATABASE postgres'])(
    'finds `synchronous_commit = off` of ALTER %s, and the command mends it',
    async (of) => {
      suite.ending(() => suite.run(`ALTER ${of} RESET synchronous_commit`));
      await suite.run(`ALTER ${of} SET synchronous_commit = off`);
      const diagnosis = await diagnosed();
      expect(codes(diagnosis)).toEqual(['problem postgres-synchronous-commit']);
      for (const sql of statements(diagnosis.findings[0]?.command)) await suite.run(sql);
      expect(codes(await diagnosed())).toEqual([]);
    },
  );

  it('gives no command for what a connection has set itself', async () => {
    const url = `${suite.url}?options=-c%20synchronous_commit%3Doff`;
    expect((await diagnosed({ url })).findings).toEqual([
      { code: 'postgres-synchronous-commit', severity: 'problem', message: expect.any(String), command: undefined },
    ]);
  });

  it('finds that the server is a standby, or read-only', async () => {
    await suite.open().stats();
    const standby = await PostgresServer.start({
      standbyOf: suite.server,
      durable: true,
      config: { max_prepared_transactions: '5' },
    });
    suite.ending(() => standby.stop());
    await eventually(
      async () => (await standby.run('SELECT FROM sluice.queues WHERE name = $1', [suite.name])).length === 1,
    );
    expect(codes(await diagnosed({ url: standby.url, create: false }))).toContain('problem postgres-standby');
    const url = `${suite.url}?options=-c%20default_transaction_read_only%3Don`;
    expect(codes(await diagnosed({ url, create: false }))).toEqual(['problem postgres-read-only']);
  });

  it('finds a long transaction, and the command ends it', async () => {
    const client = await suite.begin('ISOLATION LEVEL REPEATABLE READ');
    await client.query('SELECT count(*) FROM pg_class');
    const [{ pid } = { pid: 0 }] = (await client.query('SELECT pg_backend_pid() AS pid')).rows;
    expect(codes(await diagnosed())).toEqual([]);
    const diagnosis = await diagnosedNow();
    const of = diagnosis.findings.find(({ message }) => message.includes(`process ${pid} `));
    expect(of).toEqual({
      code: 'postgres-long-transaction',
      severity: 'problem',
      message: expect.stringMatching(/open for 0 minutes, and is idle in transaction/),
      command: `psql -c 'SELECT pg_terminate_backend(${pid})'`,
    });
  });

  it('finds a prepared transaction, and the command rolls it back', async () => {
    const client = await suite.begin();
    await client.query('CREATE TABLE unfinished (n integer)');
    await client.query(`PREPARE TRANSACTION 'it''s'`);
    suite.ending(() => suite.run(`ROLLBACK PREPARED 'it''s'`));
    const { findings } = await diagnosedNow();
    expect(findings.find(({ code }) => code === 'postgres-prepared-transaction')).toMatchObject({
      severity: 'problem',
      command: String.raw`psql -c 'ROLLBACK PREPARED '\''it'\'''\''s'\'''`,
    });
  });

  it('finds unlogged tables, dead rows and tables of another version', async () => {
    const queue = suite.open();
    await queue.stats();
    suite.ending(async () => {
      await suite.run('ALTER TABLE sluice.batches SET LOGGED');
      await suite.run('DELETE FROM sluice.version WHERE number = 9');
      await suite.run('ALTER TABLE sluice.ids RESET (autovacuum_enabled)');
      await suite.run('VACUUM sluice.ids');
    });
    await suite.run('ALTER TABLE sluice.batches SET UNLOGGED');
    await suite.run('INSERT INTO sluice.version VALUES (9)');
    await suite.run('ALTER TABLE sluice.ids SET (autovacuum_enabled = off)');
    await suite.run("INSERT INTO sluice.ids SELECT -1, n, 'infinity' FROM generate_series(1, 120000) n");
    await suite.run('DELETE FROM sluice.ids WHERE queue = -1');
    await eventually(async () => (await queue.diagnose()).findings.length === 3);
    const { findings } = await queue.diagnose();
    expect(findings).toMatchObject([
      { code: 'postgres-version', severity: 'problem', message: expect.stringContaining('version 9') },
      {
        code: 'postgres-unlogged',
        severity: 'problem',
        command: `psql -c 'ALTER TABLE "sluice"."batches" SET LOGGED'`,
      },
      { code: 'postgres-dead-rows', severity: 'note', command: `psql -c 'VACUUM "sluice"."ids"'` },
    ]);
  });

  it('finds missing rights, and the commands grant them', async () => {
    await suite.open().stats();
    await suite.run('CREATE ROLE app LOGIN');
    await suite.run('GRANT USAGE ON SCHEMA sluice TO app');
    await suite.run(
      'GRANT SELECT ON sluice.version, sluice.queues, sluice.groups, sluice.consumers, sluice.claims TO app',
    );
    await suite.run('REVOKE EXECUTE ON FUNCTION sluice.sweep FROM PUBLIC');
    suite.ending(async () => {
      await suite.run('GRANT EXECUTE ON FUNCTION sluice.sweep TO PUBLIC');
      await suite.run('DROP OWNED BY app');
      await suite.run('DROP ROLE app');
    });
    const url = suite.url.replace('//postgres@', '//app@');
    const before = await diagnosed({ url, create: false });
    expect(codes(before)).toEqual([
      'note postgres-activity-hidden',
      'note postgres-quarantine-refused',
      'problem postgres-rights',
    ]);
    expect(before.findings.find(({ code }) => code === 'postgres-rights')?.message).toMatch(
      /INSERT on table messages,.*EXECUTE on function sweep/,
    );
    for (const { command } of before.findings) for (const sql of statements(command)) await suite.run(sql);
    expect(codes(await diagnosed({ url }))).toEqual([]);
  });

  it('notes a check that the role may not make', async () => {
    await suite.open().stats();
    await suite.run('CREATE ROLE app LOGIN');
    await suite.run('GRANT USAGE ON SCHEMA sluice TO app');
    await suite.run('GRANT SELECT ON sluice.version, sluice.queues, sluice.groups TO app');
    suite.ending(async () => {
      await suite.run('DROP OWNED BY app');
      await suite.run('DROP ROLE app');
    });
    const { findings } = await diagnosed({ url: suite.url.replace('//postgres@', '//app@'), create: false });
    expect(findings).toContainEqual({
      code: 'postgres-check-refused',
      severity: 'note',
      message: expect.stringContaining('permission denied for table consumers'),
    });
  });

  it('finds messages in flight whose leases ended long ago', async () => {
    const { proxy, url } = await suite.proxy();
    const options = { groups: ['a', 'b'], lease: 200 };
    const queue = suite.open(options);
    const dead = new Holder(suite.open({ url, ...options }), { group: 'a', prefetch: 2 });
    for (const n of [1, 2, 3]) await queue.publish('key', { n });
    await eventually(() => dead.deliveries.length === 2);
    expect(codes(await queue.diagnose())).toEqual([]);
    await proxy.refuse();
    proxy.cut();
    await eventually(async () => codes(await queue.diagnose()).length > 0);
    expect((await queue.diagnose()).findings).toEqual([
      {
        code: 'postgres-stuck-leases',
        severity: 'problem',
        message: expect.stringMatching(/^Group "a" .* 2 messages/),
      },
    ]);
    const holder = new Holder(queue, { group: 'a' });
    await eventually(() => holder.deliveries.length === 3);
    expect(codes(await queue.diagnose())).toEqual([]);
  });

  it('finds messages in quarantine, with the command that shows them', async () => {
    const queue = suite.open();
    await queue.stats();
    await suite.run(
      `INSERT INTO sluice.messages (queue, id, key, payload, published_at)
       SELECT id, 'foreign', 'key', '{broken', 0 FROM sluice.queues WHERE name = $1`,
      [suite.name],
    );
    void new Holder(queue);
    await eventually(async () => codes(await queue.diagnose()).length > 0);
    expect((await queue.diagnose()).findings).toEqual([
      {
        code: 'postgres-quarantine',
        severity: 'problem',
        message: expect.stringContaining('has 1 message in quarantine'),
        command: `psql -c 'SELECT * FROM "sluice".quarantine WHERE queue = '\\''${suite.name}'\\'''`,
      },
    ]);
  });

  it('checks the rights of every table', async () => {
    await suite.open().stats();
    const rows = await suite.run<{ name: string }>(
      "SELECT relname AS name FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relkind = 'r' ORDER BY 1",
    );
    expect(rows.map(({ name }) => name)).toEqual(Object.keys(RIGHTS).toSorted());
  });
});

describeWithPgBouncer('The diagnosis of a queue behind PgBouncer', () => {
  const suite = new PostgresSuite({ durable: true });

  it('notes the pooler unless consumers poll', async () => {
    const pooler = await PgBouncer.start(suite.server);
    suite.ending(() => pooler.stop());
    const { findings } = await suite.open({ url: pooler.url }).diagnose();
    expect(findings).toMatchObject([{ code: 'postgres-pooler', severity: 'note' }]);
    expect(findings[0]?.command).toContain('POSTGRES_POLL_INTERVAL');
    expect((await suite.open({ url: pooler.url, pollInterval: 200 }).diagnose()).findings).toEqual([]);
  });
});
