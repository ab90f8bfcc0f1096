import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from './redis-command.js';
import { RedisServer, type RedisServerOptions } from './redis-server.js';
import { type ServerCommand, ServerProcess } from './server-process.js';

const SENTINELS = 3;
const QUORUM = 2;
/** After this many milliseconds without a response, a sentinel considers a server down. */
const DOWN_AFTER = 2000;
const DEADLINE = 90_000;

/** A `redis-sentinel` that watches a server. */
class Sentinel extends ServerProcess {
  protected override readonly title = 'redis-sentinel';
  readonly #master: number;
  readonly #password: string | undefined;

  constructor(master: number, password: string | undefined) {
    super();
    this.#master = master;
    this.#password = password;
  }

  run(...command: string[]): Promise<unknown> {
    return runCommand({ url: `redis://127.0.0.1:${this.port}` }, command);
  }

  protected override async command(): Promise<ServerCommand> {
    const { name } = SentinelSet;
    const lines = [
      `port ${this.port}`,
      'bind 127.0.0.1',
      `dir ${this.folder}`,
      `sentinel monitor ${name} 127.0.0.1 ${this.#master} ${QUORUM}`,
      `sentinel down-after-milliseconds ${name} ${DOWN_AFTER}`,
      `sentinel failover-timeout ${name} 10000`,
      ...(this.#password === undefined ? [] : [`sentinel auth-pass ${name} ${this.#password}`]),
    ];
    const file = path.join(this.folder, 'sentinel.conf');
    await writeFile(file, `${lines.join('\n')}\n`);
    return { file: 'redis-sentinel', args: [file] };
  }

  protected override async ready(): Promise<void> {
    await this.run('PING');
  }

  protected override portTaken(log: string): boolean {
    return /Address already in use|Failed listening on port|Could not bind/i.test(log);
  }
}

/** A Redis server, its replica, and three sentinels that watch both. */
export class SentinelSet {
  /** The name of the server in the sentinels' configuration. */
  static readonly name = 'main';
  readonly #servers: RedisServer[] = [];
  readonly #sentinels: Sentinel[] = [];

  /** Starts a set. */
  static async start(options: RedisServerOptions = {}): Promise<SentinelSet> {
    const set = new SentinelSet();
    try {
      await set.#start(options);
    } catch (error) {
      await set.stop();
      throw error;
    }
    return set;
  }

  /** The addresses of the sentinels. */
  get nodes(): { host: string; port: number }[] {
    return this.#sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** Returns the current master, if all sentinels agree. */
  async master(): Promise<RedisServer> {
    const ports = new Set<number>();
    for (const sentinel of this.#sentinels) {
      const [, port] = (await sentinel.run('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', SentinelSet.name)) as [
        host: string,
        port: string,
      ];
      ports.add(Number(port));
    }
    const [port] = ports;
    const master = this.#servers.find((server) => server.port === port);
    if (ports.size !== 1 || master === undefined) throw new Error('The sentinels do not agree');
    return master;
  }

  /** Waits until another server than `old` is the master. */
  async replaced(old: RedisServer): Promise<void> {
    await until(async () => (await this.master()) !== old);
  }

  /**
   * Waits until one server is the master, the other is its replica, and the sentinels know both and
   * one another.
   */
  async whole(): Promise<void> {
    await until(async () => {
      const master = await this.master();
      const replication = String(await master.run('INFO', 'replication'));
      if (!/role:master/.test(replication) || !/slave0:.*state=online/.test(replication)) return false;
      for (const sentinel of this.#sentinels) {
        const info = String(await sentinel.run('INFO', 'sentinel'));
        if (!info.includes(`status=ok,address=127.0.0.1:${master.port},slaves=1,sentinels=${SENTINELS}`)) return false;
      }
      return true;
    });
  }

  /** Stops the servers and removes their folders. May be called in any state. */
  async stop(): Promise<void> {
    await Promise.all([...this.#sentinels, ...this.#servers].map((server) => server.stop()));
  }

  async #start(options: RedisServerOptions): Promise<void> {
    const { password } = options;
    const auth = password === undefined ? {} : { masterauth: password };
    const master = await RedisServer.start({ ...options, config: { ...options.config, ...auth } });
    this.#servers.push(master);
    const following = { ...options.config, ...auth, replicaof: `127.0.0.1 ${master.port}` };
    this.#servers.push(await RedisServer.start({ ...options, config: following }));
    for (let count = 0; count < SENTINELS; count++) this.#sentinels.push(new Sentinel(master.port, password));
    await Promise.all(this.#sentinels.map((sentinel) => sentinel.start()));
    await this.whole();
  }
}

/** Repeats a check until it succeeds. A server that is down does not respond. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  let lastError: unknown;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline)
      throw new Error(`The sentinels did not become ready within ${DEADLINE / 1000} s: ${condition}`, {
        cause: lastError,
      });
    await sleep(100);
  }
}
