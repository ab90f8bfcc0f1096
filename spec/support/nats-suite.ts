import { connect as connectSocket } from 'node:net';
import {
  type ConsumerInfo,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type StoredMsg,
} from '@nats-io/jetstream';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { connect, errors } from '@nats-io/transport-node';
import { NatsBackend, type NatsBackendOptions } from 'sluice/nats';
import { type QueueNames, queueNames } from '../../src/nats/names.js';
import { eventually } from './eventually.js';
import { silentLogger } from './recording-logger.js';
import { ServerSuite } from './server-suite.js';
import { NatsServer, type NatsServerOptions } from './servers/nats-server.js';

/** How often a request is sent if the server does not respond. */
const MOST_TRIES = 12;

/** A suite with a NATS server. */
export class NatsSuite extends ServerSuite<NatsServer> {
  #connection: NatsConnection | undefined;

  /** @param options of the server, or a function that creates them when the suite begins */
  constructor(options?: NatsServerOptions | (() => Promise<NatsServerOptions>)) {
    super(async () => NatsServer.start(typeof options === 'function' ? await options() : options));
  }

  /** The names that the test's queue has on the server. */
  get names(): QueueNames {
    return queueNames(this.name);
  }

  /** Opens the test's queue, unless the options name another. */
  open(options: Partial<NatsBackendOptions> = {}): NatsBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new NatsBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /** Opens a plain client that is closed at the end of the test. */
  async client(options: ConnectionOptions = {}): Promise<NatsConnection> {
    const connection = await connect({ ...this.#options, ...options });
    this.ending(() => connection.close());
    return connection;
  }

  /** Returns the suite's own connection. */
  async connection(): Promise<NatsConnection> {
    this.#connection ??= await connect({ ...this.#options, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    return this.#connection;
  }

  async manager(): Promise<JetStreamManager> {
    return jetstreamManager(await this.connection(), { checkAPI: false });
  }

  /** Publishes like another program and waits for the confirm. */
  async add(
    subject: string,
    data: string | Uint8Array,
    headers?: Parameters<NatsConnection['publish']>[2],
  ): Promise<void> {
    const connection = await this.connection();
    await connection.request(subject, data, { timeout: 5000, ...headers });
  }

  /** Writes raw text to the server that no client would write. */
  async write(text: string): Promise<void> {
    const socket = connectSocket(this.server.port, '127.0.0.1');
    let received = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      received += part;
    });
    socket.write(
      Buffer.from(`CONNECT {"headers":true,"verbose":false,"no_responders":true}\r\n${text}PING\r\n`, 'latin1'),
    );
    await eventually(
      () => received.includes('PONG'),
      () => received,
    );
    socket.destroy();
  }

  /** Adds a message with raw headers. */
  async addRaw(subject: string, headers: string, data: string): Promise<void> {
    const block = `NATS/1.0\r\n${headers}\r\n\r\n`;
    await this.write(`HPUB ${subject} ${block.length} ${block.length + data.length}\r\n${block}${data}\r\n`);
  }

  /** Returns the number of messages in a stream, or `undefined` if the stream does not exist. */
  async length(stream = this.names.stream): Promise<number | undefined> {
    const info = await this.#ask((manager) => manager.streams.info(stream)).catch((error: unknown) => {
      if (error instanceof JetStreamApiError) return undefined;
      throw error;
    });
    return info?.state.messages;
  }

  /** Returns all messages of a stream, in order. */
  async stored(stream = this.names.stream): Promise<StoredMsg[]> {
    const manager = await this.manager();
    const { state } = await this.#ask(() => manager.streams.info(stream));
    const all: StoredMsg[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(stream, { seq }).catch(() => null);
      if (message !== null) all.push(message);
    }
    return all;
  }

  /** Resolves to the quarantined messages: their subjects, reasons and payloads. */
  async quarantined(): Promise<{ subject: string; reason: string; data: string }[]> {
    if ((await this.length(this.names.quarantine)) === undefined) return [];
    return (await this.stored(this.names.quarantine)).map(({ subject, header, data }) => ({
      subject,
      reason: JSON.parse(header.get('Sluice-Reason')).reason,
      data: Buffer.from(data).toString(),
    }));
  }

  async group(group = 'default'): Promise<ConsumerInfo> {
    return this.#ask((manager) => manager.consumers.info(this.names.stream, this.names.consumer(group)));
  }

  /**
   * Repeats a request if the server does not respond within five seconds, as after a restart on a
   * busy machine.
   */
  async #ask<Answer>(request: (manager: JetStreamManager) => Promise<Answer>): Promise<Answer> {
    const manager = await this.manager();
    for (let tried = 1; ; tried++) {
      try {
        return await request(manager);
      } catch (error) {
        if (!(error instanceof errors.TimeoutError) || tried === MOST_TRIES) throw error;
      }
    }
  }

  get #options(): ConnectionOptions {
    const { protocol, username, password } = new URL(this.url);
    const name = decodeURIComponent(username);
    const login = password === '' ? { token: name } : { user: name, pass: decodeURIComponent(password) };
    return {
      servers: `127.0.0.1:${this.server.port}`,
      ...(name !== '' && login),
      ...(protocol === 'tls:' && { tls: { ca: this.server.ca } }),
    };
  }

  protected override async disconnectOwn(): Promise<void> {
    await this.#connection?.close();
  }
}
