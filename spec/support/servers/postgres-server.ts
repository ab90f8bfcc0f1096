import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, realpath, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { findCommand } from './find-command.js';
import { runStatement } from './postgres-command.js';
import { type ServerCommand, ServerProcess } from './server-process.js';
import { serviceUser } from './service-user.js';

export interface PostgresServerOptions {
  /**
   * Whether each commit is on disk before it is confirmed, so that a power failure loses nothing.
   * A SIGKILL loses nothing in any case.
   * @default false
   */
  readonly durable?: boolean;
  /** The password of the user, who is then called `sluice`. */
  readonly password?: string;
  /** Whether the server refuses connections without TLS. Its certificate is generated. @default false */
  readonly tls?: boolean;
  /** The server that this one replicates, until `promote()`. It has the same user and password. */
  readonly standbyOf?: PostgresServer;
  /** Further settings. */
  readonly config?: Readonly<Record<string, string>>;
}

/** A `postgres` for tests. Its user is a superuser. */
export class PostgresServer extends ServerProcess {
  protected override readonly title = 'postgres';
  // By SIGTERM, it would wait until its clients disconnect.
  protected override readonly endSignal = 'SIGINT';
  protected override readonly hasChildren = true;
  protected override readonly user = serviceUser();
  readonly #options: PostgresServerOptions;

  constructor(options: PostgresServerOptions = {}) {
    super();
    this.#options = options;
  }

  /** Starts a server. */
  static async start(options?: PostgresServerOptions): Promise<PostgresServer> {
    const server = new PostgresServer(options);
    await server.start();
    return server;
  }

  /** The URL with the user, the password and the database. */
  get url(): string {
    const { name, password } = this.#login;
    const login = password === undefined ? name : `${name}:${encodeURIComponent(password)}`;
    return `postgres://${login}@127.0.0.1:${this.port}/postgres`;
  }

  /** Runs a statement over a new connection and returns its rows. */
  run<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
    return runStatement<Row>({ url: this.url, ca: this.#options.tls === true ? this.ca : undefined }, sql, values);
  }

  /** Makes a standby a server of its own. Resolves when it accepts writes. */
  async promote(): Promise<void> {
    const [row] = await this.run<{ done: boolean }>('SELECT pg_promote(true, 60) AS done');
    if (row?.done !== true) throw new Error(`${this.title} was not promoted:\n${this.log}`);
  }

  protected override async command(): Promise<ServerCommand> {
    const { durable = false, tls = false, config } = this.#options;
    if (!existsSync(path.join(this.#data, 'PG_VERSION'))) await this.#fill();
    // After a SIGKILL, another process may have been given the id in this file.
    await rm(path.join(this.#data, 'postmaster.pid'), { force: true });
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(this.port),
      unix_socket_directories: this.folder,
      max_connections: '200',
      // With files, nothing remains outside of the folder after a SIGKILL.
      dynamic_shared_memory_type: 'mmap',
      ...(!durable && { fsync: 'off', full_page_writes: 'off' }),
      ...(tls && (await this.#tlsSettings())),
      ...config,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return { file: await tool('postgres'), args: ['-D', this.#data, ...args], env: { LC_ALL: 'C' } };
  }

  /** While the server starts or recovers, it refuses connections. */
  protected override async ready(): Promise<void> {
    await this.run('SELECT 1');
  }

  protected override portTaken(log: string): boolean {
    return /could not bind|Address already in use/.test(log);
  }

  get #data(): string {
    return path.join(this.folder, 'data');
  }

  get #login(): { readonly name: string; readonly password?: string | undefined } {
    const { password, standbyOf } = this.#options;
    if (standbyOf !== undefined) return standbyOf.#login;
    return { name: password === undefined ? 'postgres' : 'sluice', password };
  }

  /** Creates the data: new, or a copy of another server. */
  async #fill(): Promise<void> {
    const { standbyOf, password, tls = false } = this.#options;
    if (standbyOf !== undefined) {
      await this.#runTool('pg_basebackup', '-R', '-c', 'fast', '-d', standbyOf.url);
      return;
    }
    const common = ['--no-locale', '-E', 'UTF8', '-U', this.#login.name];
    if (password === undefined) {
      await this.#runTool('initdb', ...common, '-A', 'trust');
    } else {
      const file = path.join(this.folder, 'password');
      await writeFile(file, password);
      await this.#runTool('initdb', ...common, '-A', 'scram-sha-256', '--pwfile', file);
    }
    const method = password === undefined ? 'trust' : 'scram-sha-256';
    const type = tls ? 'hostssl' : 'host';
    const rules = ['all', 'replication'].map((database) => `${type} ${database} all 127.0.0.1/32 ${method}\n`);
    await writeFile(path.join(this.#data, 'pg_hba.conf'), [`local all all ${method}\n`, ...rules].join(''));
  }

  async #runTool(name: string, ...args: string[]): Promise<void> {
    // The variables of the client would change the connection.
    const own = Object.entries(process.env).filter(([variable]) => !variable.startsWith('PG'));
    const env = { ...Object.fromEntries(own), LC_ALL: 'C' };
    const options = { ...this.user, cwd: this.folder, env };
    await promisify(execFile)(await tool(name), [...args, '--no-sync', '-D', this.#data], options);
  }

  async #tlsSettings(): Promise<Record<string, string>> {
    const { keyFile, certificateFile } = await this.certificate();
    if (this.user !== undefined) await chown(keyFile, this.user.uid, this.user.gid);
    return { ssl: 'on', ssl_cert_file: certificateFile, ssl_key_file: keyFile };
  }
}

/**
 * Returns a program of the same version as the server. The PATH may contain a wrapper that chooses
 * a version itself.
 */
async function tool(name: string): Promise<string> {
  const server = findCommand('postgres');
  if (server === undefined) return name;
  return path.join(path.dirname(await realpath(server)), name);
}
