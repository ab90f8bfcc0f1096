import { createClient } from 'redis';
import { RedisBackend, type RedisBackendOptions } from 'sluice/redis';
import { silentLogger } from './recording-logger.js';
import { ServerSuite } from './server-suite.js';
import { RedisServer, type RedisServerOptions } from './servers/redis-server.js';

type Reply = string | number | null | readonly Reply[];

/** A suite with a Redis server. */
export class RedisSuite extends ServerSuite<RedisServer> {
  #client: { sendCommand(command: string[]): Promise<unknown>; destroy(): void } | undefined;

  constructor(options?: RedisServerOptions) {
    super(() => RedisServer.start(options));
  }

  /** Opens the test's queue, unless the options name another. */
  open(options: Partial<RedisBackendOptions> = {}): RedisBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new RedisBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /** Runs a command over the suite's own connection. */
  async run(...command: string[]): Promise<Reply> {
    if (this.#client === undefined) {
      const client = createClient({ url: this.url, RESP: 2 });
      client.on('error', () => undefined);
      await client.connect();
      this.#client = client;
    }
    return (await this.#client.sendCommand(command)) as Reply;
  }

  /** Returns the name of a key of the test's queue, other than its stream. */
  key(suffix: string, name = this.name): string {
    return `${name}:{${name}}:${suffix}`;
  }

  /**
   * Returns the keys of the test's queue without the queue's name, except the deduplication keys.
   */
  async keys(name = this.name): Promise<string[]> {
    const all = (await this.run('KEYS', '*')) as string[];
    return all
      .filter((key) => key.startsWith(name) && !key.includes(':published:'))
      .map((key) => key.slice(name.length).replace(`:{${name}}:`, ''))
      .toSorted();
  }

  /** Returns the number of stored messages. */
  async length(): Promise<number> {
    return (await this.run('XLEN', this.name)) as number;
  }

  /** Returns the entries that a group has not settled: id, consumer and number of deliveries. */
  async pending(group = 'default'): Promise<[id: string, consumer: string, deliveries: number][]> {
    const rows = (await this.run('XPENDING', this.name, group, '-', '+', '10000')) as [
      string,
      string,
      number,
      number,
    ][];
    return rows.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
  }

  /** Returns how often a command was called. */
  async calls(command: string): Promise<number> {
    const stats = String(await this.run('INFO', 'commandstats'));
    return Number(new RegExp(`cmdstat_${command.replace('|', '\\|')}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  }

  /** Returns the ids of all connections except the suite's own. */
  async connections(): Promise<string[]> {
    const own = String(await this.run('CLIENT', 'ID'));
    const list = String(await this.run('CLIENT', 'LIST', 'TYPE', 'normal'));
    return [...list.matchAll(/^id=(\d+)/gm)].map(([, id = '']) => id).filter((id) => id !== own);
  }

  /** Cuts every connection except the suite's own. */
  async disconnect(): Promise<void> {
    await this.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }

  /** Closes the suite's own connection. The next command opens a new one. */
  closeOwn(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }

  protected override disconnectOwn(): void {
    this.closeOwn();
  }
}
