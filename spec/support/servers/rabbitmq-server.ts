import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { realpath, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Connection } from 'rabbitmq-client';
import { findCommand } from './find-command.js';
import { freePort } from './free-port.js';
import { type ServerCommand, ServerProcess } from './server-process.js';

export interface RabbitMqServerOptions {
  /** The user with all permissions in the virtual host `/`. @default 'guest' */
  readonly user?: string;
  /** The user's password. @default 'guest' */
  readonly password?: string;
  /** Whether the server speaks only TLS, with a generated certificate. @default false */
  readonly tls?: boolean;
  /** Further lines of the configuration. */
  readonly config?: Readonly<Record<string, string>>;
  /**
   * Settings of the application `rabbit` that the configuration file cannot set, such as
   * `channel_tick_interval`. The values are Erlang terms.
   */
  readonly advanced?: Readonly<Record<string, string>>;
}

const TIMEOUT = 10_000;

/**
 * Returns the command itself. Packages may put a wrapper on the PATH that changes the user and
 * refuses all others. The command is in the folder of the file that the wrapper links to.
 */
async function commandItself(command: string): Promise<string> {
  const found = findCommand(command);
  if (found === undefined) return command;
  return findCommand(command, { PATH: path.dirname(await realpath(found)) }) ?? found;
}

/**
 * A `rabbitmq-server` for tests. It starts within some seconds. The confirmed messages of a quorum
 * queue survive SIGKILL, but see `saveQueues`.
 */
export class RabbitMqServer extends ServerProcess {
  protected override readonly title = 'rabbitmq-server';
  readonly #options: RabbitMqServerOptions;
  #erlangPort: number | undefined;

  constructor(options: RabbitMqServerOptions = {}) {
    super();
    this.#options = options;
  }

  /** Starts a server. */
  static async start(options?: RabbitMqServerOptions): Promise<RabbitMqServer> {
    const server = new RabbitMqServer(options);
    await server.start();
    return server;
  }

  /** The URL with the user and the password. */
  get url(): string {
    const { tls = false, user = 'guest', password = 'guest' } = this.#options;
    return `${tls ? 'amqps' : 'amqp'}://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${this.port}`;
  }

  /** Calls a function with a new connection that does not reconnect. */
  async use<Answer>(ask: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    const tls = this.#options.tls === true && { ca: this.ca };
    const connection = new Connection({ url: this.url, tls, connectionTimeout: TIMEOUT, acquireTimeout: TIMEOUT });
    const failed = new Promise<never>((_, reject) => connection.on('error', reject));
    try {
      return await Promise.race([failed, once(connection, 'connection').then(() => ask(connection))]);
    } finally {
      connection.unsafeDestroy();
    }
  }

  /** Runs `rabbitmqctl` and returns its output. */
  async run(...args: string[]): Promise<string> {
    const erlang = `-sname ctl-${randomUUID()}@localhost -dist_listen false -erl_epmd_port ${this.#erlangPort}`;
    const env = { ...process.env, ...this.#env(), RABBITMQ_CTL_ERL_ARGS: erlang };
    const { stdout } = await promisify(execFile)(await commandItself('rabbitmqctl'), ['--silent', ...args], {
      cwd: this.folder,
      env,
    });
    return stdout.trimEnd();
  }

  /** Returns whether the server has at least this version. */
  async isAtLeast(major: number, minor: number): Promise<boolean> {
    const [ownMajor = 0, ownMinor = 0] = (await this.run('version')).split('.').map(Number);
    return ownMajor > major || (ownMajor === major && ownMinor >= minor);
  }

  /**
   * Saves the list of quorum queues. Older releases save it some time later on their own: a queue
   * that was declared less than about a second before a SIGKILL exists afterwards, but has no
   * messages and accepts none.
   */
  async saveQueues(): Promise<void> {
    await this.run('eval', '[ok = dets:sync(Table) || Table <- dets:all()].');
  }

  protected override async command(): Promise<ServerCommand> {
    const { user = 'guest', password = 'guest', config, advanced = {} } = this.#options;
    this.#erlangPort ??= await freePort();
    const settings = {
      ...(await this.#listener()),
      // Informational output would hide errors.
      'log.console.level': 'warning',
      'disk_free_limit.absolute': '1MB',
      ...config,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    await writeFile(path.join(this.folder, 'rabbitmq.conf'), lines.join(''));
    const erlang = [
      `-sname ${this.#node}`,
      `-erl_epmd_port ${this.#erlangPort}`,
      '-kernel inet_dist_use_interface {127,0,0,1}',
      // The server shares the processors with the tests.
      '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none',
      ...Object.entries(advanced).map(([name, value]) => `-rabbit ${name} ${value}`),
    ];
    const env = {
      ...this.#env(),
      RABBITMQ_DEFAULT_USER: user,
      RABBITMQ_DEFAULT_PASS: password,
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: erlang.join(' '),
      // With this variable, the script becomes the server instead of starting a child, which
      // signals would not reach.
      RUNNING_UNDER_SYSTEMD: 'true',
    };
    return { file: await commandItself('rabbitmq-server'), args: [], env };
  }

  protected override async ready(): Promise<void> {
    await this.use(async (connection) => {
      const queue = 'sluice-probe';
      await connection.queueDeclare({ queue, durable: true, arguments: { 'x-queue-type': 'quorum' } });
      await connection.queueDelete({ queue });
    });
  }

  protected override portTaken(log: string): boolean {
    if (!/eaddrinuse/.test(log)) return false;
    this.#erlangPort = undefined;
    return true;
  }

  get #node(): string {
    return `sluice-${this.port}@localhost`;
  }

  /** Returns the environment of the server and of `rabbitmqctl`. */
  #env(): Record<string, string> {
    const inFolder = (name: string) => path.join(this.folder, name);
    return {
      // Erlang stores the secret of both processes in the home folder.
      HOME: this.folder,
      // Erlang nodes find each other through `epmd`, a service that the first node starts and none
      // stops. These two know the port.
      ERL_AFLAGS: '-start_epmd false',
      // Every minute, the server starts a node only to start `epmd`. This makes that node exit.
      ERL_CRASH_DUMP_SECONDS: '0',
      RABBITMQ_NODENAME: this.#node,
      RABBITMQ_DIST_PORT: String(this.#erlangPort),
      RABBITMQ_MNESIA_BASE: inFolder('data'),
      RABBITMQ_LOG_BASE: inFolder('log'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_PID_FILE: inFolder('pid'),
      RABBITMQ_CONF_ENV_FILE: inFolder('rabbitmq-env.conf'),
      RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: inFolder('advanced.config'),
      RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('enabled_plugins'),
    };
  }

  async #listener(): Promise<Record<string, string>> {
    const address = `127.0.0.1:${this.port}`;
    if (!this.#options.tls) return { 'listeners.tcp.1': address };
    const { keyFile, certificateFile } = await this.certificate();
    return {
      'listeners.tcp': 'none',
      'listeners.ssl.1': address,
      'ssl_options.cacertfile': certificateFile,
      'ssl_options.certfile': certificateFile,
      'ssl_options.keyfile': keyFile,
      'ssl_options.verify': 'verify_none',
      'ssl_options.fail_if_no_peer_cert': 'false',
    };
  }
}
