import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { receive } from 'sluice';
import { PostgresBackend, type PostgresBackendOptions } from 'sluice/postgres';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

describe('An embedded PostgreSQL', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-embedded-'));
  const endings: (() => unknown)[] = [];
  let client: PGlite;

  const open = (options: PostgresBackendOptions = {}) => {
    const queue = new PostgresBackend({
      client: options.url === undefined ? client : undefined,
      logger: silentLogger,
      ...options,
    });
    endings.push(() => queue.close());
    return queue;
  };

  const count = async (table: string) =>
    (await client.query<{ n: number }>(`SELECT count(*)::integer AS n FROM sluice.${table}`)).rows[0]?.n;

  beforeAll(async () => {
    client = await PGlite.create();
  });

  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });

  afterAll(async () => {
    await client.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('creates neither tables nor a queue with `create: false`', async () => {
    const missing = { name: 'QueueNotFoundError', message: expect.stringContaining('Queue "default" does not exist') };
    for (let attempt = 0; attempt < 2; attempt++) {
      const queue = open({ create: false });
      for (const call of [queue.publish('key', {}), queue.stats(), queue.groups(), queue.diagnose(), receive(queue)])
        expect(await failureOf(call)).toMatchObject(missing);
      const publish = client.transaction((transaction) => queue.within(transaction).publish('key', {}));
      expect(await failureOf(publish)).toMatchObject(missing);
      if (attempt === 0)
        expect((await client.query("SELECT FROM pg_namespace WHERE nspname = 'sluice'")).rows).toEqual([]);
      else expect(await count('queues')).toBe(1);
      await open({ name: 'other' }).stats();
    }
    await open().stats();
    await open({ create: false }).publish('key', { n: 1 });
    expect(await failureOf(open({ create: false, groups: ['a'] }).stats())).toMatchObject({
      message: expect.stringContaining('has no group "a"'),
    });
  });

  it('deletes a queue with everything that it has, and completes its streams', async () => {
    const other = open({ name: 'default-2' });
    await other.publish('key', { n: 1 }, { id: 'one' });
    const queue = open();
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await queue.publish('key', { n: 2 }, { delay: 60_000 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length > 0);
    await queue.deleteQueue();
    expect([holder.completed, holder.error]).toEqual([true, undefined]);
    expect(await other.stats()).toEqual({ ready: 1, unfinished: 1 });
    expect((await client.query("SELECT FROM sluice.queues WHERE name = 'default'")).rows).toEqual([]);
    for (const [table, rows] of Object.entries({ messages: 1, unplaced: 0, ids: 1, claims: 0, consumers: 0 }))
      expect([table, await count(table)]).toEqual([table, rows]);
  });

  it('is diagnosed, without commands that no client can run', async () => {
    const queue = open({ name: 'diagnosed' });
    await queue.publish('key', { n: 1 });
    expect(await queue.diagnose()).toEqual({
      server: expect.stringMatching(/^PGlite \(PostgreSQL \d+\.\d+\)$/),
      clients: [],
      clockDifference: expect.any(Number),
      findings: [
        {
          code: 'postgres-fsync',
          severity: 'note',
          message: expect.stringContaining('PGlite writes commits to the operating system without `fsync`'),
          command: undefined,
        },
      ],
    });
  });

  it('names its package if the queue opens it, and says that a database in memory is lost', async () => {
    expect(await open({ url: `pglite:${folder}` }).diagnose()).toMatchObject({
      clients: ['@electric-sql/pglite'],
      findings: [{ code: 'postgres-fsync' }],
    });
    expect((await open({ url: 'pglite:memory' }).diagnose()).findings).toMatchObject([
      { code: 'postgres-in-memory', severity: 'problem' },
    ]);
  });
});
