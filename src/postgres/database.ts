import { withDeadline } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import { responseTimeoutFor } from '../core/options.js';
import { reconnectBackoff } from '../core/reconnect-backoff.js';
import { ResponseTimeout } from '../core/response-timeout.js';
import { turn } from '../internal/turn.js';
import { openEmbedded } from './embedded.js';
import { type CheckedPostgresOptions, embeddedIn } from './options.js';
import { isAnswer, isReadOnly } from './postgres-errors.js';
import type { Queryable } from './queryable.js';

/** What a pool of `pg` has besides `query`. */
interface Pool extends Queryable {
  readonly totalCount: number;
  readonly options?: { readonly max?: number };
  connect(done: (error: unknown, client: PoolClient) => void): void;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  off(event: 'error', listener: (error: unknown) => void): unknown;
  end(): Promise<void>;
}

interface PoolClient extends Queryable {
  /** The process of the server, as the server told it. */
  readonly processID?: number | null;
  listeners(event: string): readonly unknown[];
  on(event: string, listener: (message: { readonly payload?: string }) => void): unknown;
  release(error?: unknown): void;
}

/** A PGlite. */
interface Embedded extends Queryable {
  listen(channel: string, listener: (payload: string) => void): Promise<() => Promise<void>>;
}

/** The channel of all notifications. Their text is the schema, a dot and the queue. */
const CHANNEL = 'sluice';

/** How often the connection for notifications is used, in milliseconds, to see that it lives. */
const HEARTBEAT = 30_000;

/** How many times the usual response timeout a slow server gets at most. */
const MAX_SLOWNESS = 12;

const ignore = (): void => {};

/** The connections of a queue. Each query has a deadline. */
export class Database {
  readonly #options: CheckedPostgresOptions;
  readonly #timeout: ResponseTimeout;
  #client: Promise<Queryable> | undefined;
  #close: () => unknown = ignore;
  #stopListening: () => void = ignore;
  #previous: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  /** Ends the waits for answers on `close()`. */
  readonly #closing = new Disconnection();
  /** Whether notifications arrive. */
  isListening = false;
  /** Called when a connection is lost that no query uses. */
  onLost: (cause: unknown) => void = ignore;

  constructor(options: CheckedPostgresOptions) {
    this.#options = options;
    this.#timeout = new ResponseTimeout(responseTimeoutFor(options), MAX_SLOWNESS);
  }

  /** Whether all queries share one connection, which a transaction of the application blocks. */
  async isEmbedded(): Promise<boolean> {
    return isEmbedded(await this.#connect());
  }

  /** Whether the queue listens through a pooler such as PgBouncer: it makes up the number of the process. */
  async isPooled(): Promise<boolean> {
    const pool = await this.#connect();
    if (!isPool(pool) || pool.options?.max === 1 || this.#options.pollInterval !== undefined) return false;
    const client = await this.#take(pool);
    try {
      const { rows } = await this.#inTime(client.query('SELECT pg_backend_pid() AS pid'));
      return typeof client.processID === 'number' && client.processID !== rows[0]?.pid;
    } finally {
      client.release();
    }
  }

  async query<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = await this.#connect();
    const { rows } = await (isPool(client)
      ? this.#queryPool(client, text, values)
      : this.#queryOne(client, text, values));
    // An embedded database answers without a macrotask.
    return turn.value(rows as Row[]);
  }

  /**
   * Calls back with each notification. Calls `resumed` whenever it listens: earlier notifications
   * may be lost.
   */
  listen(notified: (payload: string) => void, resumed: () => void): void {
    const backoff = reconnectBackoff(this.#options.lease);
    let failures = 0;
    const again = () => {
      this.isListening = false;
      if (this.#isClosed) return;
      const timer = setTimeout(() => void attempt(), backoff(undefined, ++failures));
      this.#stopListening = () => clearTimeout(timer);
    };
    const attempt = () =>
      this.#listenOnce(notified, again).then((isListening) => {
        this.isListening = isListening && !this.#isClosed;
        failures = 0;
        if (this.isListening) resumed();
      }, again);
    void attempt();
  }

  /** Replaces the own connections: after a silent loss of one, the idle ones may be dead, too. */
  renew(): void {
    const { server } = this.#options;
    if (!('url' in server) || embeddedIn(server.url) !== undefined) return;
    this.#client = undefined;
    void this.#close();
    this.#close = ignore;
  }

  /** Closes the connections immediately. Resolves when an embedded database has closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closing.come(new ConnectionLostError('The connection was closed'));
    this.#stopListening();
    const close = this.#close;
    this.#close = ignore;
    await close();
  }

  #connect(): Promise<Queryable> {
    if (this.#isClosed) return Promise.reject(new ConnectionLostError('The connection was closed'));
    this.#client ??= this.#open().catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  async #open(): Promise<Queryable> {
    const { server } = this.#options;
    if ('url' in server) {
      const folder = embeddedIn(server.url);
      if (folder !== undefined) {
        const { client, release } = await openEmbedded(folder);
        return this.#owns(client, release);
      }
      const { default: pg } = await import('pg');
      const timeout = responseTimeoutFor(this.#options);
      const pool = new pg.Pool({
        connectionString: server.url,
        // The pool's own timer would keep a closed process alive.
        Client: class extends pg.Client {
          constructor(options?: object) {
            super({ ...options, connectionTimeoutMillis: timeout });
          }
        },
        idleTimeoutMillis: 60_000,
        keepAlive: true,
        application_name: 'sluice',
      });
      // A connection that closes waits for the server, which may be gone: the process may end.
      pool.on('release', (_error, client) => (client as unknown as NodeJS.Timeout).unref());
      // Connections that close may fail.
      return this.#watch(pool as unknown as Pool, () => void pool.on('error', ignore).end().catch(ignore));
    }
    const { client } = server;
    return isPool(client) ? this.#watch(client, ignore) : client;
  }

  /** Without a listener, the error of an idle connection would end the process. */
  #watch(pool: Pool, close: () => void): Pool {
    const lost = (cause: unknown) => this.onLost(cause);
    pool.on('error', lost);
    return this.#owns(pool, () => {
      pool.off('error', lost);
      close();
    });
  }

  #owns<Client extends Queryable>(client: Client, close: () => unknown): Client {
    const others = this.#close;
    if (this.#isClosed) close();
    else
      this.#close = async () => {
        await close();
        await others();
      };
    return client;
  }

  /** A client of one connection runs one statement at a time. */
  #queryOne(client: Queryable, text: string, values: unknown[]): ReturnType<Queryable['query']> {
    const answer = this.#inTime(this.#previous.then(() => client.query(text, values)));
    this.#previous = answer.catch(ignore);
    return answer;
  }

  async #queryPool(pool: Pool, text: string, values: unknown[]): ReturnType<Queryable['query']> {
    const client = await this.#take(pool);
    try {
      const result = await this.#inTime(client.query(text, values));
      client.release();
      return result;
    } catch (error) {
      // Another connection may lead to another server.
      client.release(!isAnswer(error) || isReadOnly(error));
      throw error;
    }
  }

  async #take(pool: Pool): Promise<PoolClient> {
    const connected = new Promise<PoolClient>((resolve, reject) => {
      pool.connect((error, client) => {
        if (error) return reject(error);
        // Without a listener, a lost connection would end the process. Its query fails, too.
        if (!client.listeners('error').includes(ignore)) client.on('error', ignore);
        resolve(client);
      });
    });
    try {
      return await this.#inTime(connected);
    } catch (error) {
      connected.then((client) => client.release(), ignore);
      throw error;
    }
  }

  async #inTime<Value>(request: Promise<Value>): Promise<Value> {
    const { milliseconds } = this.#timeout;
    const late = () => {
      this.#timeout.late();
      return new ConnectionLostError(`PostgreSQL did not answer within ${milliseconds} ms`);
    };
    const value = await withDeadline(this.#closing.before(request), milliseconds, late);
    this.#timeout.inTime();
    return value;
  }

  /** Resolves to whether it listens. Calls `lost` when it no longer does. */
  async #listenOnce(notified: (payload: string) => void, lost: () => void): Promise<boolean> {
    const client = await this.#connect();
    if (isEmbedded(client)) {
      const stop = await client.listen(CHANNEL, notified);
      this.#owns(client, () => stop().catch(ignore));
    } else if (isPool(client) && client.options?.max !== 1)
      await this.#listenOn(await this.#take(client), notified, lost);
    else return false;
    return true;
  }

  async #listenOn(client: PoolClient, notified: (payload: string) => void, lost: () => void): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const end = (hasFailed: boolean) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      client.release(true);
      if (!hasFailed) return;
      this.onLost(new ConnectionLostError('The connection for notifications was lost'));
      lost();
    };
    const beat = () => {
      timer = setTimeout(() => {
        this.#inTime(client.query('SELECT')).then(beat, () => end(true));
      }, HEARTBEAT);
    };
    client.on('notification', ({ payload = '' }) => notified(payload));
    for (const event of ['error', 'end']) client.on(event, () => end(true));
    this.#stopListening = () => end(false);
    try {
      await this.#inTime(client.query(`LISTEN ${CHANNEL}`));
      if (!isOver) beat();
    } catch (error) {
      end(false);
      throw error;
    }
  }
}

function isPool(client: Queryable): client is Pool {
  return 'totalCount' in client && 'connect' in client;
}

function isEmbedded(client: Queryable): client is Embedded {
  return 'listen' in client;
}
