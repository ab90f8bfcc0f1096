import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from './free-port.js';
import { runCommand } from './redis-command.js';
import { type ServerCommand, ServerProcess } from './server-process.js';

export interface RedisServerOptions {
  /** Whether each command is on the disk before it is answered, so that nothing that was confirmed is lost by a SIGKILL. @default false */
  readonly appendOnly?: boolean;
  /** What clients must give. */
  readonly password?: string;
  /** Whether it speaks TLS only, with a certificate of its own making. @default false */
  readonly tls?: boolean;
  /** Whether it is a cluster of this one node, which owns all slots, or is to become a member of one. @default false */
  readonly cluster?: boolean | 'member';
  /** Further lines of its configuration. */
  readonly config?: Readonly<Record<string, string>>;
}

const SLOTS = 16_384;

/** A `redis-server` of the test's own. */
export class RedisServer extends ServerProcess {
  protected override readonly title = 'redis-server';
  readonly #options: RedisServerOptions;
  #busPort: number | undefined;

  constructor(options: RedisServerOptions = {}) {
    super();
    this.#options = options;
  }

  /** Starts one. */
  static async start(options?: RedisServerOptions): Promise<RedisServer> {
    const server = new RedisServer(options);
    await server.start();
    return server;
  }

  /** Where it is, with its password. */
  get url(): string {
    const { tls = false, password } = this.#options;
    const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
    return `${tls ? 'rediss' : 'redis'}://${login}127.0.0.1:${this.port}`;
  }

  /** Where the other members of its cluster find it. */
  get busPort(): number {
    if (this.#busPort === undefined) throw new Error('Expected a server with `cluster`');
    return this.#busPort;
  }

  /** Runs one command over a connection of its own. */
  async run(...command: string[]): Promise<unknown> {
    return runCommand(this.#options.tls ? this : { url: this.url }, command);
  }

  protected override async command(): Promise<ServerCommand> {
    const { appendOnly = false, password, tls = false, cluster = false, config } = this.#options;
    const settings: Record<string, string> = { bind: '127.0.0.1', dir: this.folder, save: '""', port: String(tls ? 0 : this.port) };
    if (appendOnly) Object.assign(settings, { appendonly: 'yes', appendfsync: 'always' });
    if (password !== undefined) settings.requirepass = JSON.stringify(password);
    if (tls) Object.assign(settings, await this.#tlsSettings());
    if (cluster !== false) {
      // By default the port + 10,000, which may be taken.
      this.#busPort ??= await freePort();
      Object.assign(settings, { 'cluster-enabled': 'yes', 'cluster-port': String(this.#busPort), 'cluster-announce-ip': '127.0.0.1' });
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
    if (info.includes('cluster_slots_assigned:0')) await this.run('CLUSTER', 'ADDSLOTSRANGE', '0', String(SLOTS - 1));
    if (!info.includes('cluster_state:ok')) throw new Error('the cluster is not ready');
  }

  protected override portTaken(log: string): boolean {
    if (!/Address already in use|Failed listening on port|Could not bind/i.test(log)) return false;
    this.#busPort = undefined;
    return true;
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
