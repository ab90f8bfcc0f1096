import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type ServerCommand, ServerProcess } from './server-process.js';

/** What clients must give. */
interface NatsLogin {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** Its place in a cluster. */
interface NatsRoutes {
  readonly cluster: string;
  /** Where it listens for the others. */
  readonly port: number;
  /** Where every server of the cluster does, itself among them. */
  readonly ports: readonly number[];
}

export interface NatsServerOptions extends NatsLogin {
  /** Its name; in a cluster each must have one of its own. @default 'sluice' */
  readonly name?: string;
  /** Whether it keeps streams, as files in its folder; or further lines of that block of its configuration. @default true */
  readonly jetStream?: boolean | Readonly<Record<string, string>>;
  /** The greatest payload it takes, in bytes. @default 1 MiB, as the server has it */
  readonly maxPayload?: number;
  /** Whether it speaks TLS only, with a certificate of its own making. @default false */
  readonly tls?: boolean;
  /** Makes it one server of a cluster, which `start()` does not wait for. */
  readonly routes?: NatsRoutes;
  /** Further lines of its configuration: the values as they are written there, a block in braces. */
  readonly config?: Readonly<Record<string, string>>;
}

const TIMEOUT = 5000;

/** Its configuration takes strings as JSON writes them. */
const quoted = (text: string): string => JSON.stringify(text);

/** A `nats-server` of the test's own. What it confirmed survives a SIGKILL. */
export class NatsServer extends ServerProcess {
  protected override readonly title = 'nats-server';
  readonly #options: NatsServerOptions;

  constructor(options: NatsServerOptions = {}) {
    super();
    this.#options = options;
  }

  /** Starts one. */
  static async start(options?: NatsServerOptions): Promise<NatsServer> {
    const server = new NatsServer(options);
    await server.start();
    return server;
  }

  get name(): string {
    return this.#options.name ?? 'sluice';
  }

  /** Where it is, with what it asks for. */
  get url(): string {
    const { tls = false, user, password = '', token } = this.#options;
    const login = [user ?? token, user === undefined ? undefined : password]
      .filter((part) => part !== undefined)
      .map(encodeURIComponent);
    return `${tls ? 'tls' : 'nats'}://${login.join(':')}${login.length > 0 ? '@' : ''}127.0.0.1:${this.port}`;
  }

  /** Does something over a connection of its own, which does not reconnect. */
  async use<Answer>(ask: (connection: NatsConnection) => Promise<Answer>): Promise<Answer> {
    const { tls = false, user, password = '', token } = this.#options;
    const connection = await connect({
      servers: `127.0.0.1:${this.port}`,
      // The client does not take them from a URL.
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
      // In a cluster JetStream has to wait for other servers.
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
