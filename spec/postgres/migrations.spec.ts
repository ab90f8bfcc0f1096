import { Client } from 'pg';
import { migrations, PostgresBackend } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const SCHEMAS = ['two words', 'it\'s "quoted"', 'UPPER', 'łódź 🎉', 'a.b', '{schema}', 'select', "$1 \\' %"].map(
  (name) => name.replaceAll('$', ''),
);

describeWithPostgres('The tables of a queue in PostgreSQL', () => {
  const suite = new PostgresSuite();

  /** Creates a database. Returns its URL. */
  const newDatabase = async (options = '') => {
    const name = `d${suite.name.replaceAll('-', '')}`;
    await suite.run(`CREATE DATABASE ${name} ${options}`);
    suite.ending(() => suite.run(`DROP DATABASE ${name} WITH (FORCE)`));
    return suite.url.replace(/\/postgres$/, `/${name}`);
  };

  const connect = async (url: string) => {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    suite.ending(() => client.end());
    return client;
  };

  const open = (options: ConstructorParameters<typeof PostgresBackend>[0]) => {
    const queue = new PostgresBackend({ name: suite.name, logger: silentLogger, ...options });
    suite.ending(() => queue.close());
    return queue;
  };

  /** Publishes and receives one message. */
  const works = async (queue: PostgresBackend, n = 1) => {
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n });
    await eventually(() => {
      if (holder.error !== undefined) throw holder.error;
      return holder.numbers.includes(n);
    });
    holder.subscription.unsubscribe();
  };

  it('are created once by eight backends that open a new database at once', async () => {
    const url = await newDatabase();
    const logger = recordingLogger();
    const queues = upTo(8).map(() => open({ url, logger }));
    const holders = queues.map((queue) => new Holder(queue, { prefetch: 1 }));
    await Promise.all(queues.map((queue, n) => queue.publish('key', { n })));
    await eventually(() => holders.flatMap(({ deliveries }) => deliveries).length === 8);
    const client = await connect(url);
    expect((await client.query('SELECT number FROM sluice.version')).rows).toEqual([{ number: 1 }]);
    expect(logger).toMatchObject({ warnings: [], errors: [] });
  });

  it('are missing with `migrate: false`: the error names migrations(), and the queue works later', async () => {
    const url = await newDatabase();
    const queue = open({ url, migrate: false });
    const holder = new Holder(queue);
    const expected = {
      name: 'BackendUnavailableError',
      retryable: false,
      message: expect.stringMatching(/have version 0, expected 1\. Run the SQL of migrations\(\)/),
    };
    expect(await failureOf(queue.publish('key', {}))).toMatchObject(expected);
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject(expected);
    const client = await connect(url);
    for (const sql of migrations()) await client.query(sql);
    await works(queue);
  });

  it('are refused if a newer version has made them', async () => {
    const url = await newDatabase();
    await works(open({ url }));
    const client = await connect(url);
    await client.query('INSERT INTO sluice.version VALUES (99)');
    for (const migrate of [true, false])
      expect(await failureOf(open({ url, migrate }).publish('key', {}))).toMatchObject({
        retryable: false,
        message: expect.stringMatching(/have version 99, expected 1\. Update this library/),
      });
  });

  it.each<[how: string, run: (client: Client, statements: string[]) => Promise<unknown>]>([
    [
      'one after another',
      async (client, statements) => {
        for (const sql of statements) await client.query(sql);
      },
    ],
    [
      'in one transaction',
      async (client, statements) => {
        await client.query('BEGIN');
        for (const sql of statements) await client.query(sql);
        await client.query('COMMIT');
      },
    ],
    ['in one script', (client, statements) => client.query(`${statements.join(';\n')};`)],
  ])('can be made twice by hand %s, without a trace in the session', async (_how, run) => {
    const url = await newDatabase();
    const client = await connect(url);
    await client.query("SET search_path = public, 'x y'");
    const settings = async () =>
      (await client.query("SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY 1")).rows;
    const before = await settings();
    await run(client, [...migrations(), ...migrations()]);
    await run(client, migrations());
    expect(await settings()).toEqual(before);
    expect((await client.query("SELECT FROM pg_locks WHERE locktype = 'advisory'")).rows).toEqual([]);
    await works(open({ url, migrate: false }));
  });

  it('disappear with the transaction that made them', async () => {
    const url = await newDatabase();
    const client = await connect(url);
    await client.query('BEGIN');
    for (const sql of migrations()) await client.query(sql);
    await client.query('ROLLBACK');
    expect((await client.query("SELECT FROM pg_namespace WHERE nspname = 'sluice'")).rows).toEqual([]);
    await works(open({ url }));
  });

  it.each(SCHEMAS)('can be in the schema %j', async (schema) => {
    const url = await newDatabase();
    const queue = open({ url, schema });
    const idle = new Holder(open({ url, schema }), { prefetch: 1 });
    const client = await connect(url);
    const name = `"${schema.replaceAll('"', '""')}"`;
    await eventually(
      async () =>
        (await client.query(`SELECT FROM ${name}.consumers WHERE idle`).catch(() => ({ rows: [] }))).rows.length === 1,
    );
    await queue.publish('key', { n: 1 }, { id: 'one' });
    await eventually(() => idle.deliveries.length === 1);
    expect(await idle.of(1).reject('no')).toBe(true);
    expect(await queue.purge()).toBe(0);
    const [view] = (await client.query('SELECT current_schema AS name')).rows;
    expect(view).toEqual({ name: 'public' });
    expect((await client.query("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace")).rows).toEqual([]);
  });

  it('of two schemas of one database never meet', async () => {
    const url = await newDatabase();
    const [one, other] = ['one', 'other'].map((schema) => open({ url, schema }));
    const holders = [one, other].map((queue) => new Holder(queue as PostgresBackend));
    await Promise.all(upTo(20).map((n) => (n % 2 === 0 ? one : other)?.publish('key', { n })));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 10));
    expect(holders.map(({ numbers }) => new Set(numbers.map((n) => n % 2)))).toEqual([new Set([0]), new Set([1])]);
    const client = await connect(url);
    await client.query('DROP SCHEMA one CASCADE');
    expect(await holders[1]?.of(1).ack()).toBe(true);
    expect(await other?.stats()).toMatchObject({ unfinished: 9 });
  });

  it('are refused in a database whose encoding is not UTF-8', async () => {
    const url = await newDatabase("ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    expect(await failureOf(open({ url }).publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringContaining('The database has the encoding SQL_ASCII, expected UTF8'),
    });
  });

  it.each(['repeatable read', 'serializable'])('are refused if transactions are %s by default', async (isolation) => {
    const url = await newDatabase();
    const name = new URL(url).pathname.slice(1);
    await suite.run(`ALTER DATABASE ${name} SET default_transaction_isolation = '${isolation}'`);
    const queue = open({ url });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringContaining(`Transactions are ${isolation} by default, expected read committed`),
    });
  });

  it.each(['REPEATABLE READ', 'SERIALIZABLE'])('take messages of a transaction that is %s', async (isolation) => {
    const url = await newDatabase();
    const queue = open({ url });
    const client = await connect(url);
    await client.query(`BEGIN ISOLATION LEVEL ${isolation}`);
    await queue.within(client).publish('key', { n: 1 }, { id: 'one' });
    await client.query('COMMIT');
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
  });

  it('wait until the database is no longer read-only', async () => {
    const url = await newDatabase();
    const name = new URL(url).pathname.slice(1);
    await suite.run(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const logger = recordingLogger();
    const queue = open({ url, publishTimeout: 500, logger });
    expect(await failureOf(queue.publish('key', { n: 1 }))).toMatchObject({
      retryable: true,
      message: expect.stringContaining('read-only transaction'),
    });
    await suite.run(`ALTER DATABASE ${name} SET default_transaction_read_only = off`);
    await eventually(() =>
      works(queue, 2).then(
        () => true,
        () => false,
      ),
    );
    expect(logger.errors).toEqual([]);
  });

  describe.each<[what: string, remove: string]>([
    ['DROP SCHEMA', 'DROP SCHEMA sluice CASCADE'],
    [
      'TRUNCATE of all tables',
      'TRUNCATE sluice.queues, sluice.groups, sluice.cursors, sluice.messages, sluice.unplaced, sluice.claims, sluice.requeued, sluice.consumers, sluice.batches, sluice.ids, sluice.quarantine',
    ],
    [
      'TRUNCATE with new identities',
      'TRUNCATE sluice.queues, sluice.groups, sluice.cursors, sluice.messages, sluice.unplaced, sluice.claims, sluice.requeued, sluice.consumers, sluice.batches, sluice.ids RESTART IDENTITY',
    ],
    ["deletion of the queue's row", 'DELETE FROM sluice.queues'],
    ['deletion of the groups', 'DELETE FROM sluice.groups'],
    ['TRUNCATE of the messages', 'TRUNCATE sluice.messages, sluice.claims, sluice.requeued'],
    ['TRUNCATE of the consumers', 'TRUNCATE sluice.consumers'],
  ])('after %s', (_what, remove) => {
    it('are made again, and consumers and publishers go on', async () => {
      const url = await newDatabase();
      const logger = recordingLogger();
      const publisher = open({ url, logger });
      const busy = new Holder(open({ url, logger }), { prefetch: 1 });
      const idle = open({ url, logger });
      await publisher.publish('key', { n: 1 });
      await eventually(() => busy.deliveries.length === 1);
      const got = new Set<number>();
      const waiting = new Holder(idle, { prefetch: 10 }, (delivery) => {
        got.add((delivery.payload as { n: number }).n);
        void delivery.ack();
      });
      const client = await connect(url);
      await eventually(async () => (await client.query('SELECT FROM sluice.consumers WHERE idle')).rows.length === 1);
      await client.query(remove);
      for (const n of [2, 3]) await publisher.publish('key', { n });
      await eventually(() => {
        expect([busy.error, waiting.error]).toEqual([undefined, undefined]);
        return got.has(2) && got.has(3);
      });
      await busy.of(1).ack();
      await publisher.publish('key', { n: 4 });
      await publisher.publish('key', { n: 5 });
      await eventually(() => [2, 3, 4, 5].every((n) => got.has(n) || busy.numbers.includes(n)));
      expect(logger.errors).toEqual([]);
    });
  });
});
