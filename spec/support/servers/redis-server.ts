import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from './free-port.js';
import { runCommand } from './redis-command.js';
import { type ServerCommand, ServerProcess } from './server-process.js';
import { isAtLeast } from './server-version.js';

export interface RedisServerOptions {
  /**
   * Whether each command is on disk before it is confirmed, so that a SIGKILL loses nothing.
   * @default false
   */
  readonly appendOnly?: boolean;
  /** The password of clients. */
  readonly password?: string;
  /** Whether the server speaks only TLS, with a generated certificate. @default false */
  readonly tls?: boolean;
  /**
   * Whether the server is a cluster of one node that owns all slots, or will join a cluster.
   * @default false
   */
  readonly cluster?: boolean | 'member';
  /** Further lines of the configuration. */
  readonly config?: Readonly<Record<string, string>>;
}

export const SLOTS = 16_384;

/** The default distance between the ports for clients and for other members. */
const BUS_OFFSET = 10_000;

/**
 * Lists the slots from `from` up to, but not including, `to`, for `CLUSTER ADDSLOTS`.
 * `ADDSLOTSRANGE` requires 7.0.
 */
export function slots(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => String(from + index));
}

/** A `redis-server` for tests. */
export class RedisServer extends ServerProcess {
  protected override readonly title = 'redis-server';
  readonly #options: RedisServerOptions;
  #busPort: number | undefined;

  constructor(options: RedisServerOptions = {}) {
    super();
    this.#options = options;
  }

  /** Starts a server. */
  static async start(options?: RedisServerOptions): Promise<RedisServer> {
    const server = new RedisServer(options);
    await server.start();
    return server;
  }

  /** The URL with the password. */
  get url(): string {
    const { tls = false, password } = this.#options;
    const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
    return `${tls ? 'rediss' : 'redis'}://${login}127.0.0.1:${this.port}`;
  }

  /** The port for the other members of its cluster. */
  get busPort(): number {
    if (this.#busPort === undefined) throw new Error('Expected a server with `cluster`');
    return this.#busPort;
  }

  /** Runs a command over a new connection. */
  async run(...command: string[]): Promise<unknown> {
    return runCommand(this.#options.tls ? this : { url: this.url }, command);
  }

  protected override async command(): Promise<ServerCommand> {
    const { appendOnly = false, password, tls = false, cluster = false, config } = this.#options;
    const settings: Record<string, string> = {
      bind: '127.0.0.1',
      dir: this.folder,
      save: '""',
      port: String(tls ? 0 : this.port),
    };
    if (appendOnly) Object.assign(settings, { appendonly: 'yes', appendfsync: 'always' });
    if (password !== undefined) settings.requirepass = JSON.stringify(password);
    if (tls) Object.assign(settings, await this.#tlsSettings());
    if (cluster !== false) {
      Object.assign(settings, {
        'cluster-enabled': 'yes',
        'cluster-announce-ip': '127.0.0.1',
        ...(await this.#busSettings()),
      });
    }
    const lines = Object.entries({ ...settings, ...config }).map(([name, value]) => `${name} ${value}\n`);
    const file = path.join(this.folder, 'redis.conf');
    await writeFile(file, lines.join(''));
    return { file: 'redis-server', args: [file] };
  }

  protected override async ready(): Promise<void> {
    await this.run('PING');
    if (this.#options.cluster !== true) return;
    const info = String(await this.run('CLUSTER', 'INFO'));
    if (info.includes('cluster_slots_assigned:0')) await this.run('CLUSTER', 'ADDSLOTS', ...slots(0, SLOTS));
    if (!info.includes('cluster_state:ok')) throw new Error('the cluster is not ready');
  }

  protected override portTaken(log: string): boolean {
    if (!/Address already in use|Failed listening on port|Could not bind/i.test(log)) return false;
    this.#busPort = undefined;
    return true;
  }

  async #busSettings(): Promise<Record<string, string>> {
    // Before 7.0, the port is always 10,000 higher. If it is taken, the server does not start and
    // is given another port.
    if (!isAtLeast('redis-server', [7, 0])) {
      this.#busPort = this.port + BUS_OFFSET;
      return {};
    }
    this.#busPort ??= await freePort();
    return { 'cluster-port': String(this.#busPort) };
  }

  async #tlsSettings(): Promise<Record<string, string>> {
    const { keyFile, certificateFile } = await this.certificate();
    return {
      'tls-port': String(this.port),
      'tls-cert-file': certificateFile,
      'tls-key-file': keyFile,
      'tls-ca-cert-file': certificateFile,
      'tls-auth-clients': 'no',
    };
  }
}
