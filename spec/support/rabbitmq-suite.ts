import { type Channel, Connection, type ConnectionOptions, type Envelope } from 'rabbitmq-client';
import { RabbitMqBackend, type RabbitMqBackendOptions } from 'sluice/rabbitmq';
import { type QueueNames, queueNames } from '../../src/rabbitmq/names.js';
import { silentLogger } from './recording-logger.js';
import { ServerSuite } from './server-suite.js';
import { RabbitMqServer, type RabbitMqServerOptions } from './servers/rabbitmq-server.js';

/** A message in a queue as a plain client reads it. */
export interface Stored {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly reason: unknown;
}

/** A suite with a RabbitMQ server. */
export class RabbitMqSuite extends ServerSuite<RabbitMqServer> {
  #connection: Connection | undefined;

  constructor(options?: RabbitMqServerOptions) {
    super(() => RabbitMqServer.start(options));
  }

  /** The names that the test's queue has on the server. */
  get names(): QueueNames {
    return queueNames(this.name);
  }

  /** Opens the test's queue, unless the options name another. */
  open(options: Partial<RabbitMqBackendOptions> = {}): RabbitMqBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new RabbitMqBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /**
   * Opens a plain client that is destroyed at the end of the test. Its errors reach only the test's
   * own listeners.
   */
  client(options: ConnectionOptions = {}): Connection {
    const client = new Connection({ url: this.url, retryLow: 50, retryHigh: 200, ...options });
    this.ending(() => client.unsafeDestroy());
    return client;
  }

  /** Opens a channel of the suite's own connection. It is closed at the end of the test. */
  async channel(): Promise<Channel> {
    if (this.#connection === undefined) {
      this.#connection = new Connection({ url: this.url, frameMax: 131_072, retryLow: 50, retryHigh: 200 });
      this.#connection.on('error', () => undefined);
    }
    const channel = await this.#connection.acquire();
    this.ending(() => channel.close());
    return channel;
  }

  /** Publishes like another program and waits for the confirm. */
  async add(envelope: Envelope, body: unknown): Promise<void> {
    const channel = await this.channel();
    await channel.confirmSelect();
    await channel.basicPublish({ exchange: this.names.exchange, durable: true, ...envelope }, body);
  }

  /**
   * Returns the number of waiting messages in a queue, or `undefined` if the queue does not exist.
   */
  async length(queue: string): Promise<number | undefined> {
    const channel = await this.channel();
    return channel.queueDeclare({ queue, passive: true }).then(
      ({ messageCount }) => messageCount,
      () => undefined,
    );
  }

  /**
   * Takes all messages out of a queue, in order. Omits the delivery count, which only some versions
   * of the broker add to a first delivery.
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

  /** Returns the rows of a table that `rabbitmqctl` prints. */
  async rows(...command: string[]): Promise<string[][]> {
    const printed = await this.server.run(...command);
    return printed === '' ? [] : printed.split('\n').map((line) => line.split('\t'));
  }

  protected override disconnectOwn(): void {
    this.#connection?.unsafeDestroy();
    this.#connection = undefined;
  }
}
