import { Client, Pool } from 'pg';
import { PostgresBackend, type PostgresBackendOptions } from 'sluice/postgres';
import { silentLogger } from './recording-logger.js';
import { ServerSuite } from './server-suite.js';
import { PostgresServer, type PostgresServerOptions } from './servers/postgres-server.js';

/** A suite with a PostgreSQL server. */
export class PostgresSuite extends ServerSuite<PostgresServer> {
  /** A pool of one connection: it runs one statement at a time, and reconnects. */
  #pool: Pool | undefined;

  constructor(options?: PostgresServerOptions) {
    super(() => PostgresServer.start(options));
  }

  /** Opens the test's queue, unless the options name another. */
  open(options: Partial<PostgresBackendOptions> = {}): PostgresBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new PostgresBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /** Opens a connection of an application. It is closed at the end of the test. */
  async connect(): Promise<Client> {
    const client = new Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    this.ending(() => client.end());
    return client;
  }

  /** Opens a transaction of an application. */
  async begin(mode = ''): Promise<Client> {
    const client = await this.connect();
    await client.query(`BEGIN ${mode}`);
    return client;
  }

  /** Runs a statement over the suite's own connection and returns its rows. */
  async run<Row extends object = Record<string, unknown>>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    if (this.#pool === undefined) {
      this.#pool = new Pool({ connectionString: this.url, max: 1 });
      this.#pool.on('error', () => undefined);
    }
    return (await this.#pool.query<Row>(sql, [...values])).rows;
  }

  /** Returns how many rows the tables of the test's queue have. */
  async tables(): Promise<Record<string, number>> {
    const count = (table: string) =>
      `(SELECT count(*)::integer FROM sluice.${table} t JOIN sluice.queues q ON q.id = t.queue WHERE q.name = $1)`;
    const [row = {}] = await this.run<Record<string, number>>(
      `SELECT ${count('messages')} AS messages, ${count('unplaced')} AS unplaced, (SELECT count(*)::integer
       FROM (SELECT grp FROM sluice.requeued UNION ALL SELECT grp FROM sluice.claims, unnest(places)) p
       JOIN sluice.groups t ON t.id = p.grp JOIN sluice.queues q ON q.id = t.queue WHERE q.name = $1) AS pending`,
      [this.name],
    );
    return row;
  }

  /** Cuts every connection of a client except the suite's own. */
  async disconnect(): Promise<void> {
    await this.run(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
  }

  /** Closes the suite's own connection. The next statement opens a new one. */
  async closeOwn(): Promise<void> {
    const pool = this.#pool;
    this.#pool = undefined;
    await pool?.end();
  }

  protected override disconnectOwn(): Promise<void> {
    return this.closeOwn();
  }
}
