import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type ServerCommand, ServerProcess } from './server-process.js';

/** The credentials of clients. */
interface NatsLogin {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** The position of a server in a cluster. */
interface NatsRoutes {
  readonly cluster: string;
  /** The port for the other servers. */
  readonly port: number;
  /** The ports of all servers of the cluster, including this one. */
  readonly ports: readonly number[];
}

export interface NatsServerOptions extends NatsLogin {
  /** The server's name, unique within a cluster. @default 'sluice' */
  readonly name?: string;
  /**
   * Whether JetStream is enabled, with files in the server's folder, or further lines of its
   * configuration block. @default true
   */
  readonly jetStream?: boolean | Readonly<Record<string, string>>;
  /** The largest payload, in bytes. @default 1 MiB, the server's default */
  readonly maxPayload?: number;
  /** Whether the server speaks only TLS, with a generated certificate. @default false */
  readonly tls?: boolean;
  /** Makes the server a member of a cluster. `start()` does not wait for the cluster. */
  readonly routes?: NatsRoutes;
  /** Further lines of the configuration. Values are raw: blocks are in braces. */
  readonly config?: Readonly<Record<string, string>>;
}

const TIMEOUT = 5000;

// The configuration accepts JSON strings.
const quoted = (text: string): string => JSON.stringify(text);

/** A `nats-server` for tests. Confirmed messages survive SIGKILL. */
export class NatsServer extends ServerProcess {
  protected override readonly title = 'nats-server';
  readonly #options: NatsServerOptions;

  constructor(options: NatsServerOptions = {}) {
    super();
    this.#options = options;
  }

  /** Starts a server. */
  static async start(options?: NatsServerOptions): Promise<NatsServer> {
    const server = new NatsServer(options);
    await server.start();
    return server;
  }

  get name(): string {
    return this.#options.name ?? 'sluice';
  }

  /** The URL with the credentials. */
  get url(): string {
    const { tls = false, user, password = '', token } = this.#options;
    const login = [user ?? token, user === undefined ? undefined : password]
      .filter((part) => part !== undefined)
      .map(encodeURIComponent);
    return `${tls ? 'tls' : 'nats'}://${login.join(':')}${login.length > 0 ? '@' : ''}127.0.0.1:${this.port}`;
  }

  /** Calls a function with a new connection that does not reconnect. */
  async use<Answer>(ask: (connection: NatsConnection) => Promise<Answer>): Promise<Answer> {
    const { tls = false, user, password = '', token } = this.#options;
    const connection = await connect({
      servers: `127.0.0.1:${this.port}`,
      // The client does not read credentials from URLs.
      ...(user === undefined ? {} : { user, pass: password }),
      ...(token === undefined ? {} : { token }),
      ...(tls ? { tls: { ca: this.ca } } : {}),
      ignoreClusterUpdates: true,
      reconnect: false,
      timeout: TIMEOUT,
    });
    try {
      return await ask(connection);
    } finally {
      await connection.close();
    }
  }

  protected override async command(): Promise<ServerCommand> {
    const { jetStream = true, maxPayload, tls = false, routes, config } = this.#options;
    const settings: Record<string, string> = {
      listen: quoted(`127.0.0.1:${this.port}`),
      server_name: quoted(this.name),
    };
    if (jetStream !== false) {
      const block = Object.entries({ store_dir: quoted(this.folder), ...(jetStream === true ? {} : jetStream) });
      settings.jetstream = `{ ${block.map(([name, value]) => `${name}: ${value}`).join(', ')} }`;
    }
    if (maxPayload !== undefined) settings.max_payload = String(maxPayload);
    Object.assign(settings, this.#authorization());
    if (tls) {
      const { keyFile, certificateFile } = await this.certificate();
      settings.tls = `{ cert_file: ${quoted(certificateFile)}, key_file: ${quoted(keyFile)} }`;
    }
    if (routes !== undefined) {
      const others = routes.ports.map((port) => quoted(`nats://127.0.0.1:${port}`));
      settings.cluster = `{ name: ${quoted(routes.cluster)}, listen: ${quoted(`127.0.0.1:${routes.port}`)}, routes: [${others.join(', ')}] }`;
    }
    const lines = Object.entries({ ...settings, ...config }).map(([name, value]) => `${name}: ${value}\n`);
    const file = path.join(this.folder, 'nats.conf');
    await writeFile(file, lines.join(''));
    return { file: 'nats-server', args: ['--config', file] };
  }

  protected override async ready(): Promise<void> {
    const { jetStream = true, routes } = this.#options;
    await this.use(async (connection) => {
      // In a cluster, JetStream has to wait for other servers.
      if (jetStream === false || routes !== undefined) return;
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: TIMEOUT });
      await manager.getAccountInfo();
    });
  }

  protected override portTaken(log: string): boolean {
    return /Error listening on port: [^\n]*address already in use/.test(log);
  }

  #authorization(): Record<string, string> {
    const { user, password = '', token } = this.#options;
    if (user !== undefined) return { authorization: `{ user: ${quoted(user)}, password: ${quoted(password)} }` };
    return token === undefined ? {} : { authorization: `{ token: ${quoted(token)} }` };
  }
}
