import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runStatement } from './postgres-command.js';
import type { PostgresServer } from './postgres-server.js';
import { type ServerCommand, ServerProcess } from './server-process.js';
import { serviceUser } from './service-user.js';

/**
 * A `pgbouncer` for tests, in front of a server. A connection of a client keeps a connection of the
 * server only for one transaction.
 */
export class PgBouncer extends ServerProcess {
  protected override readonly title = 'pgbouncer';
  // Newer releases wait for their clients on SIGTERM.
  protected override readonly endSignal = 'SIGQUIT';
  protected override readonly user = serviceUser();
  readonly #server: PostgresServer;
  readonly #config: Readonly<Record<string, string>>;

  /** @param config further settings */
  constructor(server: PostgresServer, config: Readonly<Record<string, string>> = {}) {
    super();
    this.#server = server;
    this.#config = config;
  }

  /** Starts a pooler. */
  static async start(...args: ConstructorParameters<typeof PgBouncer>): Promise<PgBouncer> {
    const pooler = new PgBouncer(...args);
    await pooler.start();
    return pooler;
  }

  /** The URL of the server's database. Needs no password. */
  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** Runs a statement on the server over a new connection. */
  run<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
    return runStatement<Row>({ url: this.url }, sql, values);
  }

  /** Runs a command of the pooler itself, such as `SHOW POOLS`. */
  manage<Row = Record<string, unknown>>(command: string): Promise<Row[]> {
    return runStatement<Row>({ url: `postgres://postgres@127.0.0.1:${this.port}/pgbouncer` }, command);
  }

  protected override async command(): Promise<ServerCommand> {
    const { port, username, password } = new URL(this.#server.url);
    const target = {
      host: '127.0.0.1',
      port,
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
    };
    // PgBouncer does not accept an empty password.
    const given = Object.entries(target).filter(([, value]) => value !== '');
    const words = given.map(([name, value]) => `${name}='${value.replaceAll("'", "''")}'`);
    const settings = {
      listen_addr: '127.0.0.1',
      listen_port: String(this.port),
      unix_socket_dir: this.folder,
      auth_type: 'any',
      pool_mode: 'transaction',
      ...this.#config,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    const file = path.join(this.folder, 'pgbouncer.ini');
    await writeFile(file, ['[databases]', `postgres = ${words.join(' ')}`, '[pgbouncer]', ...lines, ''].join('\n'));
    return { file: 'pgbouncer', args: [file] };
  }

  protected override async ready(): Promise<void> {
    await this.run('SELECT 1');
  }

  protected override portTaken(log: string): boolean {
    return /Address already in use|cannot listen/i.test(log);
  }
}
