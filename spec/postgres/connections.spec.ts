import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client, Pool } from 'pg';
import type { QueueStatus } from 'sluice';
import type { PostgresBackend } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { programOf } from '../support/program.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { ROOT } from '../support/root.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

interface Session {
  readonly pid: number;
  readonly query: string;
}

describeWithPostgres('Connections of a PostgresBackend', () => {
  retryOnce();
  const suite = new PostgresSuite({ config: { max_connections: '20', superuser_reserved_connections: '5' } });

  const sessions = () =>
    suite.run<Session>(
      `SELECT pid, query FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
  const listening = async () => (await sessions()).filter(({ query }) => query.startsWith('LISTEN'));

  /** Publishes one message, receives it and acknowledges it. */
  const works = async (queue: PostgresBackend, n = 1) => {
    const holder = new Holder(queue);
    await queue.publish('key', { n });
    await eventually(() => holder.numbers.includes(n));
    expect(await holder.of(n).ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    holder.subscription.unsubscribe();
  };

  const newClient = async () => {
    const client = new Client({ connectionString: suite.url });
    client.on('error', () => undefined);
    await client.connect();
    suite.ending(() => client.end());
    return client;
  };

  const newPool = (max: number) => {
    const pool = new Pool({ connectionString: suite.url, max });
    suite.ending(() => pool.ended || pool.end());
    return pool;
  };

  it('are none before the first use and none after close()', async () => {
    const queue = suite.open();
    queue.deliveries();
    queue.consume();
    await suite.run('SELECT');
    expect(await sessions()).toEqual([]);
    await works(queue);
    await eventually(async () => (await listening()).length === 1);
    await queue.close();
    await eventually(async () => (await sessions()).length === 0);
  });

  it('are none after close() at any time', async () => {
    for (const turn of upTo(12)) {
      const queue = suite.open();
      new Holder(queue);
      const published = queue.publish('key', { n: 1 }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, turn * 4));
      await queue.close();
      await published;
    }
    await eventually(async () => (await sessions()).length === 0);
  });

  it('has one for notifications, however many groups there are', async () => {
    const groups = ['a', 'b', 'c', 'd'];
    const queue = suite.open({ groups });
    const holders = groups.map((group) => new Holder(queue, { group }));
    await queue.publish('key', { n: 1 });
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 1));
    await eventually(async () => (await listening()).length === 1);
    expect((await sessions()).length).toBeLessThanOrEqual(10);
  });

  it('listens again if the session for notifications ends, and then looks for messages', async () => {
    const logger = recordingLogger();
    const statuses: QueueStatus[] = [];
    const queue = suite.open({ logger, lease: 600_000 });
    queue.status$.subscribe((status) => statuses.push(status));
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await eventually(async () => (await listening()).length === 1);
    for (const n of [2, 3, 4]) {
      const [old] = await listening();
      await suite.run('SELECT pg_terminate_backend($1)', [old?.pid]);
      await suite.open().publish('key', { n });
      await eventually(() => holder.numbers.includes(n));
      await eventually(async () => {
        const now = await listening();
        return now.length === 1 && now[0]?.pid !== old?.pid;
      });
    }
    expect(holder.numbers).toEqual([1, 2, 3, 4]);
    expect(statuses.filter((status) => status === 'connected').length).toBeGreaterThan(1);
    await queue.close();
    expect(logger.errors).toEqual([]);
  });

  it('goes on if the session of a query, of an idle connection, or all sessions end', async () => {
    const queue = suite.open();
    const own = new Holder(queue, { prefetch: 500 });
    for (const round of upTo(10)) {
      const published = Promise.all(upTo(10).map((n) => queue.publish('key', { n: round * 10 + n })));
      const all = await sessions();
      const some = round % 2 === 0 ? all : all.slice(0, 1);
      await suite.run('SELECT pg_terminate_backend(pid) FROM unnest($1::integer[]) pid', [some.map(({ pid }) => pid)]);
      await published;
    }
    await eventually(() => new Set(own.numbers).size === 100);
    expect(own.numbers).toEqual(upTo(100).map((n) => n + 10));
    expect(own.attempts.filter(([, attempt]) => attempt !== 1)).toEqual([]);
    expect(await Promise.all(own.held.map((delivery) => delivery.ack()))).not.toContain(false);
  });

  it('waits while the server has too many connections, and says so once', async () => {
    const logger = recordingLogger();
    await suite.run('DROP ROLE IF EXISTS plain');
    await suite.run('CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE postgres TO plain');
    const url = suite.url.replace('//postgres@', '//plain@');
    const hogs: Client[] = [];
    for (let isFull = false; !isFull; ) {
      const hog = new Client({ connectionString: url });
      await hog.connect().then(
        () => hogs.push(hog),
        () => {
          isFull = true;
        },
      );
    }
    suite.ending(() => Promise.all(hogs.map((hog) => hog.end())));
    const queue = suite.open({ url, schema: 'plain', publishTimeout: 600, logger });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    expect(await failureOf(queue.publish('key', { n: 1 }))).toMatchObject({
      retryable: true,
      message: expect.stringMatching(/remaining connection slots|too many clients/),
    });
    expect(holder.error).toBeUndefined();
    for (const hog of hogs.splice(0)) await hog.end();
    await eventually(() =>
      queue.publish('key', { n: 2 }).then(
        () => true,
        () => false,
      ),
    );
    await eventually(() => holder.numbers.includes(2));
    expect(logger.errors).toEqual([]);
    expect(logger.warnings.filter((line) => /cannot connect/.test(line))).toHaveLength(1);
  });

  it.each([1, 2, 5])('uses a given pool of %d connections and leaves it open and clean', async (max) => {
    const pool = newPool(max);
    const before = pool.eventNames().map((event) => [event, pool.listenerCount(event)]);
    const queue = suite.open({ client: pool });
    const own = Promise.all(upTo(20).map((n) => pool.query('SELECT $1::integer AS n', [n])));
    await works(queue);
    expect((await own).map(({ rows }) => rows[0].n)).toEqual(upTo(20));
    const other = new Holder(queue);
    await suite.open().publish('key', { n: 2 });
    await eventually(() => other.numbers.includes(2));
    expect(await other.of(2).ack()).toBe(true);
    await queue.close();
    expect((await pool.query('SELECT pg_listening_channels()')).rows).toEqual([]);
    expect(pool.listenerCount('error')).toBeLessThanOrEqual(1);
    expect(
      pool
        .eventNames()
        .filter((event) => event !== 'error')
        .map((event) => [event, pool.listenerCount(event)]),
    ).toEqual(before);
    await eventually(() => pool.totalCount === pool.idleCount);
    await works(suite.open({ client: pool }), 3);
    for (const n of upTo(10)) {
      const again = suite.open({ client: pool });
      await again.publish('key', { n });
      await again.close();
    }
    expect(pool.listenerCount('error')).toBeLessThanOrEqual(2);
  });

  it('uses a given client, in order, and leaves it open', async () => {
    const client = await newClient();
    const queue = suite.open({ client });
    await works(queue);
    const holder = new Holder(queue, { prefetch: 50 });
    await Promise.all(upTo(50).map((n) => queue.publish('key', { n })));
    await eventually(() => holder.deliveries.length === 50);
    expect(holder.numbers).toEqual(upTo(50));
    await queue.close();
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  it('receives messages of others over a given client or an object with only `query`', async () => {
    const client = await newClient();
    const query = { query: (text: string, values?: unknown[]) => client.query(text, values) };
    for (const given of [client, query]) {
      const queue = suite.open({ client: given, lease: 600_000 });
      const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
      for (const n of upTo(3)) {
        await new Promise((resolve) => setTimeout(resolve, 1200));
        await suite.open().publish('key', { n });
        await eventually(() => holder.numbers.includes(n));
      }
      await queue.close();
    }
  });

  it('fails, and does not wait for ever, if a given client is closed', async () => {
    const pool = newPool(2);
    await pool.end();
    const queue = suite.open({ client: pool, publishTimeout: 1000 });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ name: 'BackendUnavailableError' });
    await queue.close();
  });

  it('lets the process end after close(), also if the server is gone', async () => {
    const { proxy, url } = await suite.proxy();
    const program = programOf('spec/postgres/fixtures/closing.ts');
    const end = async (...args: string[]) => {
      const child = spawn(process.execPath, [program, url, suite.name, ...args], {
        cwd: ROOT,
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      suite.ending(() => child.kill('SIGKILL'));
      const closed = once(child, 'close');
      await once(child.stdout, 'data');
      if (args.includes('gone')) proxy.stall();
      child.stdin.end('close\n');
      return (await closed)[0];
    };
    expect(await end()).toBe(0);
    await eventually(async () => (await sessions()).length === 0);
    expect(await end('gone')).toBe(0);
    proxy.resume();
  });
});
