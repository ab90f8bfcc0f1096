import type { ManagedQueue } from 'sluice';
import type { Broker, FaultyServer } from '../integration/broker.js';
import { Cli } from './cli.js';
import { numberOf, upTo } from './consumers.js';
import type { Engine } from './engines.js';
import { silentLogger } from './recording-logger.js';
import { ServerSuite } from './server-suite.js';

interface OpenOptions {
  /** Is added to the name of the test's queue. */
  readonly suffix?: string;
  readonly groups?: readonly string[];
  readonly create?: boolean;
}

/** A suite that runs the command line against the server of an engine. */
export class CliSuite extends ServerSuite<FaultyServer> {
  readonly broker: Broker;
  readonly #engine: Engine;

  /** Must be called where the suite is described. */
  constructor(broker: Broker, engine: Engine) {
    super(() => broker.start());
    this.broker = broker;
    this.#engine = engine;
  }

  /** The command line for the queue of this test. What still runs is killed at the end of the test. */
  cli(variables: Readonly<Record<string, string | undefined>> = {}): Cli {
    const cli = new Cli({
      QUEUE_BACKEND: this.#engine.name,
      [this.#engine.variable]: this.url,
      QUEUE_NAME: this.name,
      QUEUE_GROUPS: undefined,
      ...variables,
    });
    this.ending(() => cli.stop());
    return cli;
  }

  /** Opens the queue of this test as a service does. */
  open({ suffix = '', groups, create }: OpenOptions = {}): ManagedQueue {
    const options = { url: this.url, name: this.name + suffix, groups, create, logger: silentLogger };
    const queue = this.broker.open(options) as ManagedQueue;
    this.ending(() => queue.close());
    return queue;
  }

  /** Publishes messages with the numbers from 1 on, in order, as a service does. */
  async publish(count: number, text = ''): Promise<ManagedQueue> {
    const queue = this.open();
    await Promise.all(upTo(count).map((n) => queue.publish('number', { n, text })));
    return queue;
  }

  /** Acknowledges so many messages. Resolves to the number and attempt of each. */
  async take(queue: ManagedQueue, count: number, group?: string): Promise<[n: number, attempt: number][]> {
    const messages: [n: number, attempt: number][] = [];
    if (count === 0) return messages;
    const acks: Promise<boolean>[] = [];
    for await (const delivery of queue.deliveries({ group, prefetch: count })) {
      messages.push([numberOf(delivery.payload), delivery.attempt]);
      acks.push(delivery.ack());
      if (messages.length === count) break;
    }
    await Promise.all(acks);
    return messages;
  }

  protected override disconnectOwn(): void {}
}

/** Lines for `publish -`: a message `{ n }` for each number. */
export function linesOf(numbers: readonly number[]): string {
  return numbers.map((n) => `${JSON.stringify({ key: 'number', payload: { n } })}\n`).join('');
}

interface ShownMessage {
  readonly payload: { readonly n: number };
  readonly attempt: number;
}

/** The number and attempt of each message that a command has written as a line of JSON. */
export function shown(out: string): [n: number, attempt: number][] {
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ShownMessage)
    .map(({ payload, attempt }) => [payload.n, attempt]);
}
