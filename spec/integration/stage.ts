import type { QueueBackend } from 'sluice';
import { ConsumerProcess, type ConsumerSettings } from '../support/consumer-process.js';
import { eventually } from '../support/eventually.js';
import { RedisServer, type RedisServerOptions } from '../support/servers/redis-server.js';
import type { Tally } from '../support/tally.js';

/** What a test has started, so that it ends with the test, in the reverse order. */
export class Stage {
  readonly #endings: (() => unknown)[] = [];
  readonly #consumers: ConsumerProcess[] = [];

  /** Starts a Redis server. */
  async redis(options?: RedisServerOptions): Promise<RedisServer> {
    const server = new RedisServer(options);
    this.ending(() => server.stop());
    await server.start();
    return server;
  }

  /** Starts a consumer process. */
  async consumer(settings: ConsumerSettings, tally: Tally): Promise<ConsumerProcess> {
    const consumer = await ConsumerProcess.start(settings, tally);
    this.#consumers.push(consumer);
    this.ending(() => consumer.kill());
    return consumer;
  }

  /** Starts several alike. */
  consumers(count: number, settings: ConsumerSettings, tally: Tally): Promise<ConsumerProcess[]> {
    return Promise.all(Array.from({ length: count }, () => this.consumer(settings, tally)));
  }

  /** Has something done at the end of the test. */
  ending(end: () => unknown): void {
    this.#endings.push(end);
  }

  /** Waits until something holds; fails when a consumer has ended by itself, or its stream has failed. */
  async until(condition: () => boolean | Promise<boolean>, tally?: Tally): Promise<void> {
    const check = () => {
      const failed = this.#consumers.find(({ failure }) => failure !== undefined);
      if (failed !== undefined) throw new Error(`A consumer failed: ${failed.failure}`);
      return condition();
    };
    await eventually(check, () => ({ condition: String(condition), tally, consumers: this.#consumers }));
  }

  /** Waits until every group has settled all that was published, and what the consumers did to it has been heard. */
  async settled(queue: QueueBackend, tally: Tally): Promise<void> {
    await this.until(async () => (await queue.stats()).unfinished === 0, tally);
    await Promise.all(this.#consumers.map((consumer) => consumer.caughtUp()));
  }

  async clear(): Promise<void> {
    for (const end of this.#endings.splice(0).reverse()) await end();
    this.#consumers.length = 0;
  }
}
