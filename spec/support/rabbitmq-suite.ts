import { type Channel, Connection, type ConnectionOptions, type Envelope } from 'rabbitmq-client';
import { RabbitMqBackend, type RabbitMqBackendOptions } from 'sluice/rabbitmq';
import { type QueueNames, queueNames } from '../../src/rabbitmq/names.js';
import { silentLogger } from './recording-logger.js';
import { ServerSuite } from './server-suite.js';
import { RabbitMqServer, type RabbitMqServerOptions } from './servers/rabbitmq-server.js';

/** What a message in a queue is, to a plain client. */
export interface Stored {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly reason: unknown;
}

/** A suite with a server of RabbitMQ. */
export class RabbitMqSuite extends ServerSuite<RabbitMqServer> {
  #connection: Connection | undefined;

  constructor(options?: RabbitMqServerOptions) {
    super(() => RabbitMqServer.start(options));
  }

  /** What this test's queue is called on the server. */
  get names(): QueueNames {
    return queueNames(this.name);
  }

  /** A queue of this test's name, unless the options have another. */
  open(options: Partial<RabbitMqBackendOptions> = {}): RabbitMqBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new RabbitMqBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /** A plain client, destroyed at the end of the test. Nobody hears of its errors but by a listener of the test's own. */
  client(options: ConnectionOptions = {}): Connection {
    const client = new Connection({ url: this.url, retryLow: 50, retryHigh: 200, ...options });
    this.ending(() => client.unsafeDestroy());
    return client;
  }

  /** A channel of a connection that stays, closed at the end of the test. */
  async channel(): Promise<Channel> {
    if (this.#connection === undefined) {
      this.#connection = new Connection({ url: this.url, frameMax: 131_072, retryLow: 50, retryHigh: 200 });
      this.#connection.on('error', () => undefined);
    }
    const channel = await this.#connection.acquire();
    this.ending(() => channel.close());
    return channel;
  }

  /** Publishes as any other program may, and waits until the server has it. */
  async add(envelope: Envelope, body: unknown): Promise<void> {
    const channel = await this.channel();
    await channel.confirmSelect();
    await channel.basicPublish({ exchange: this.names.exchange, durable: true, ...envelope }, body);
  }

  /** How many messages wait in a queue; undefined where there is none. */
  async length(queue: string): Promise<number | undefined> {
    const channel = await this.channel();
    return channel.queueDeclare({ queue, passive: true }).then(
      ({ messageCount }) => messageCount,
      () => undefined,
    );
  }

  /**
   * Takes all messages out of a queue, in order, without the broker's count of their deliveries: only some versions
   * add it to a first delivery.
   */
  async take(queue: string): Promise<Stored[]> {
    const channel = await this.channel();
    const all: Stored[] = [];
    for (;;) {
      const message = await channel.basicGet({ queue, noAck: true });
      if (message === undefined) return all;
      const { 'x-delivery-count': _count, ...headers } = message.headers ?? {};
      all.push({ body: message.body, headers, reason: headers['sluice-reason'] });
    }
  }

  /** The rows of a table that `rabbitmqctl` prints. */
  async rows(...command: string[]): Promise<string[][]> {
    const printed = await this.server.run(...command);
    return printed === '' ? [] : printed.split('\n').map((line) => line.split('\t'));
  }

  protected override disconnectOwn(): void {
    this.#connection?.unsafeDestroy();
    this.#connection = undefined;
  }
}
