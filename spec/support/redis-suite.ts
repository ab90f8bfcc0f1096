import { randomUUID } from 'node:crypto';
import { createClient } from 'redis';
import { RedisBackend, type RedisBackendOptions } from 'sluice/redis';
import { silentLogger } from './recording-logger.js';
import { RedisServer, type RedisServerOptions } from './servers/redis-server.js';
import { TcpProxy } from './servers/tcp-proxy.js';

type Reply = string | number | null | readonly Reply[];

/** A server for the tests of a suite, a queue's name for each of them, and what they open: closed after each. */
export class RedisSuite {
  /** The name of this test's queue. */
  name = '';
  #server: RedisServer | undefined;
  #client: { sendCommand(command: string[]): Promise<unknown>; destroy(): void } | undefined;
  readonly #endings: (() => unknown)[] = [];

  /** To be called where the suite is described. */
  constructor(options?: RedisServerOptions) {
    beforeAll(async () => {
      this.#server = await RedisServer.start(options);
    });
    beforeEach(() => {
      this.name = randomUUID();
    });
    afterEach(async () => {
      for (const end of this.#endings.splice(0).reverse()) await end();
    });
    afterAll(async () => {
      this.#client?.destroy();
      await this.#server?.stop();
    });
  }

  get server(): RedisServer {
    if (this.#server === undefined) throw new Error('Expected the suite to have begun');
    return this.#server;
  }

  get url(): string {
    return this.server.url;
  }

  /** A queue of this test's name, unless the options have another. */
  open(options: Partial<RedisBackendOptions> = {}): RedisBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new RedisBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /** A proxy in front of the server, and the URL of that. */
  async proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }> {
    const proxy = await TcpProxy.start(this.server.port);
    this.ending(() => proxy.stop());
    const url = new URL(this.url);
    url.port = String(proxy.port);
    return { proxy, url: url.href };
  }

  /** Has something done at the end of the test. */
  ending(end: () => unknown): void {
    this.#endings.push(end);
  }

  /** Runs a command, over a connection that stays. */
  async run(...command: string[]): Promise<Reply> {
    if (this.#client === undefined) {
      const client = createClient({ url: this.url, RESP: 2 });
      client.on('error', () => undefined);
      await client.connect();
      this.#client = client;
    }
    return (await this.#client.sendCommand(command)) as Reply;
  }

  /** A key of this test's queue, other than its stream. */
  key(suffix: string, name = this.name): string {
    return `${name}:{${name}}:${suffix}`;
  }

  /** What there is of this test's queue, but what a publisher is remembered by: without the name of the queue. */
  async keys(name = this.name): Promise<string[]> {
    const all = (await this.run('KEYS', '*')) as string[];
    return all
      .filter((key) => key.startsWith(name) && !key.includes(':published:'))
      .map((key) => key.slice(name.length).replace(`:{${name}}:`, ''))
      .toSorted();
  }

  /** How many messages are stored. */
  async length(): Promise<number> {
    return (await this.run('XLEN', this.name)) as number;
  }

  /** What a group has not settled: id, consumer, and how often it was delivered. */
  async pending(group = 'default'): Promise<[id: string, consumer: string, deliveries: number][]> {
    const rows = (await this.run('XPENDING', this.name, group, '-', '+', '10000')) as [string, string, number, number][];
    return rows.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
  }

  /** How often a command was called, so far. */
  async calls(command: string): Promise<number> {
    const stats = String(await this.run('INFO', 'commandstats'));
    return Number(new RegExp(`cmdstat_${command.replace('|', '\\|')}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  }

  /** The ids of all connections but the suite's own. */
  async connections(): Promise<string[]> {
    const own = String(await this.run('CLIENT', 'ID'));
    const list = String(await this.run('CLIENT', 'LIST', 'TYPE', 'normal'));
    return [...list.matchAll(/^id=(\d+)/gm)].map(([, id = '']) => id).filter((id) => id !== own);
  }

  /** Cuts every connection but the suite's own. */
  async disconnect(): Promise<void> {
    await this.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }
}
