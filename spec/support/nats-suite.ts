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

/** How often a request is sent that the server does not answer. */
const MOST_TRIES = 12;

/** A suite with a server of NATS. */
export class NatsSuite extends ServerSuite<NatsServer> {
  #connection: NatsConnection | undefined;

  /** @param options of the server, or makes them when the suite begins */
  constructor(options?: NatsServerOptions | (() => Promise<NatsServerOptions>)) {
    super(async () => NatsServer.start(typeof options === 'function' ? await options() : options));
  }

  /** What this test's queue is called on the server. */
  get names(): QueueNames {
    return queueNames(this.name);
  }

  /** A queue of this test's name, unless the options have another. */
  open(options: Partial<NatsBackendOptions> = {}): NatsBackend {
    const url = options.client === undefined ? this.url : undefined;
    const queue = new NatsBackend({ url, name: this.name, logger: silentLogger, ...options });
    this.ending(() => queue.close());
    return queue;
  }

  /** A plain client, closed at the end of the test. */
  async client(options: ConnectionOptions = {}): Promise<NatsConnection> {
    const connection = await connect({ ...this.#options, ...options });
    this.ending(() => connection.close());
    return connection;
  }

  /** A connection that stays. */
  async connection(): Promise<NatsConnection> {
    this.#connection ??= await connect({ ...this.#options, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    return this.#connection;
  }

  async manager(): Promise<JetStreamManager> {
    return jetstreamManager(await this.connection(), { checkAPI: false });
  }

  /** Publishes as any other program may, and waits until the server has it. */
  async add(
    subject: string,
    data: string | Uint8Array,
    headers?: Parameters<NatsConnection['publish']>[2],
  ): Promise<void> {
    const connection = await this.connection();
    await connection.request(subject, data, { timeout: 5000, ...headers });
  }

  /** Writes to the server what no client would write. */
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

  /** A message with headers as they stand on the wire. */
  async addRaw(subject: string, headers: string, data: string): Promise<void> {
    const block = `NATS/1.0\r\n${headers}\r\n\r\n`;
    await this.write(`HPUB ${subject} ${block.length} ${block.length + data.length}\r\n${block}${data}\r\n`);
  }

  /** How many messages a stream holds; undefined where there is none. */
  async length(stream = this.names.stream): Promise<number | undefined> {
    const info = await this.#ask((manager) => manager.streams.info(stream)).catch((error: unknown) => {
      if (error instanceof JetStreamApiError) return undefined;
      throw error;
    });
    return info?.state.messages;
  }

  /** All messages of a stream, in order. */
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

  /** What was moved aside: on which subject, why, and what it holds. */
  async aside(): Promise<{ subject: string; reason: string; data: string }[]> {
    if ((await this.length(this.names.aside)) === undefined) return [];
    return (await this.stored(this.names.aside)).map(({ subject, header, data }) => ({
      subject,
      reason: JSON.parse(header.get('Sluice-Reason')).reason,
      data: Buffer.from(data).toString(),
    }));
  }

  async group(group = 'default'): Promise<ConsumerInfo> {
    return this.#ask((manager) => manager.consumers.info(this.names.stream, this.names.consumer(group)));
  }

  /** Asks again when the server does not answer within five seconds, as after a restart on a machine that is busy. */
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
