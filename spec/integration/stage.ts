import type { QueueBackend } from 'sluice';
import type { DriverOptions } from '../../src/core/options.js';
import { ConsumerProcess, type ConsumerSettings } from '../support/consumer-process.js';
import { eventually } from '../support/eventually.js';
import { silentLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { ServerSuite } from '../support/server-suite.js';
import type { Tally } from '../support/tally.js';
import type { Broker, FaultyServer } from './broker.js';
import { AT_ONCE, type LoadOptions, publishLoad } from './load.js';

export interface QueueOptions extends Omit<DriverOptions, 'name' | 'logger'> {
  /** Where the publisher or the consumers connect. @default the server itself */
  readonly url?: string;
  /** The prefetch of each consumer process. @default 32 */
  readonly prefetch?: number;
}

/** A queue and the settings of processes that consume it. */
export interface Staged {
  readonly queue: QueueBackend;
  readonly settings: Omit<ConsumerSettings, 'work'>;
}

/**
 * A server for the tests of a suite. Everything that a test has started ends with it, in reverse
 * order.
 */
export class Stage<Server extends FaultyServer = FaultyServer> extends ServerSuite<Server> {
  readonly broker: Broker<Server>;
  readonly #consumers: ConsumerProcess[] = [];
  #over = new AbortController();

  /** Must be called where the suite is described. */
  constructor(broker: Broker<Server>) {
    super(() => broker.start());
    this.broker = broker;
    retryOnce();
    afterEach(async () => {
      this.#over.abort();
      this.#over = new AbortController();
      this.#consumers.length = 0;
    });
  }

  /** Opens a queue with the name of this test. */
  open({ prefetch = 32, ...given }: QueueOptions = {}): Staged {
    const options = { url: this.url, name: this.name, ...given };
    const queue = this.broker.open({ ...options, logger: silentLogger });
    this.ending(() => queue.close());
    return { queue, settings: { backend: this.broker.backend, options, consume: { prefetch } } };
  }

  async consumer(settings: ConsumerSettings, tally: Tally): Promise<ConsumerProcess> {
    const consumer = await ConsumerProcess.start(settings, tally);
    this.#consumers.push(consumer);
    this.ending(() => consumer.kill());
    return consumer;
  }

  /** Starts several consumer processes with the same settings. */
  consumers(count: number, settings: ConsumerSettings, tally: Tally): Promise<ConsumerProcess[]> {
    return Promise.all(Array.from({ length: count }, () => this.consumer(settings, tally)));
  }

  /**
   * Publishes messages `{ id }` once each and records the result of each publish. Resolves after
   * the last.
   */
  publish(queue: QueueBackend, options: LoadOptions): Promise<void> {
    return publishLoad(queue, { ...options, signal: this.#over.signal });
  }

  /** Kills the server with SIGKILL. */
  async killServer(): Promise<void> {
    await this.broker.beforeKill?.(this.server);
    await this.server.kill();
  }

  /** Freezes the server until it is thawed or the test ends. */
  freezeServer(): void {
    this.ending(() => this.server.thaw());
    this.server.freeze();
  }

  /**
   * Waits for a condition. Fails if a consumer process has ended by itself or its stream has
   * failed.
   */
  async until(condition: () => boolean | Promise<boolean>, tally?: Tally): Promise<void> {
    const check = () => {
      const failed = this.#consumers.find(({ failure }) => failure !== undefined);
      if (failed !== undefined) throw new Error(`A consumer failed: ${failed.failure}`);
      return condition();
    };
    await eventually(check, () => ({ condition: String(condition), tally, consumers: this.#consumers }));
  }

  /** Waits until every group has settled all messages and the consumers have reported it. */
  async settled(queue: QueueBackend, tally: Tally): Promise<void> {
    await this.until(async () => (await queue.stats()).unfinished === 0, tally);
    await Promise.all(this.#consumers.map((consumer) => consumer.caughtUp()));
    // A broker may not count messages in flight of another process.
    await this.until(() => tally.lost.length === 0, tally);
  }

  /**
   * Prints the figures of a finished test and checks them.
   * @param held the maximum number of messages that were in flight and redelivered
   * @param publishersLost the number of times that a publisher lost its connection under load
   */
  close(tally: Tally, fault: string, held: number, publishersLost = 0): void {
    const sentAgain = this.broker.storesOnce ? 0 : AT_ONCE * publishersLost;
    tally.close(`${this.broker.title}: ${fault}`, held + sentAgain);
  }

  protected override disconnectOwn(): void {}
}
