import { Connection as RabbitConnection } from 'rabbitmq-client';
import { Connection } from '../core/connection.js';
import { EngineErrors, type ErrorKind } from '../core/engine-errors.js';
import type { QueueEvents } from '../core/events.js';
import { connectTimeoutFor } from '../core/options.js';
import type { Client } from './client.js';
import { frameMaxOf, vhostOf } from './client-internals.js';
import { newResponseTimeout, type OverdueError } from './deadlines.js';
import { FRAME_MAX, flattenAllHeaders, refuseOtherProtocols } from './frames.js';
import { RabbitLink } from './link.js';
import type { CheckedRabbitMqOptions } from './options.js';
import { rabbitMqFailures } from './rabbitmq-errors.js';
import { readVersion } from './server-version.js';
import { clientOptions, RABBITMQ_URL, serverIdOf } from './url.js';

/** The default of the client, for the client of a caller that hides its option. */
const DEFAULT_FRAME_MAX = 8192;

/** Heartbeats in a lease and in a `publishTimeout`. The client gives up after two and a half. */
const HEARTBEATS = 3;
const HEARTBEATS_IN_PUBLISH = 4;

/** The longest heartbeat of AMQP, in seconds. */
const MOST_HEARTBEAT = 65_535;

/** The client's pause before it reconnects, in milliseconds. The core reconnects instead. */
const NEVER = 86_400_000;

export interface ConnectOptions {
  readonly purpose: string;
  readonly prepare: (link: RabbitLink) => Promise<void>;
  readonly onUnblocked?: (() => void) | undefined;
  /** In milliseconds. A dead peer is noticed within it, too. Default: within the lease. */
  readonly publishTimeout?: number | undefined;
}

/** The server of a queue, and how to connect to it. */
export class Server {
  readonly failures: EngineErrors;
  /** Classifies the errors of connections. */
  readonly classify = (error: unknown): ErrorKind => (this.#isLeaving ? 'fatal' : this.failures.classify(error));
  /** Identifies the server within this process. */
  readonly id: string;
  #frameMax: number;
  #version: string | undefined;
  #isLeaving = false;
  #release: (() => void) | undefined;
  readonly #options: CheckedRabbitMqOptions;
  readonly #events: QueueEvents;
  /** For messages; without a password. */
  readonly #where: string;

  constructor(options: CheckedRabbitMqOptions, events: QueueEvents) {
    this.#options = options;
    this.#events = events;
    const { server, name } = options;
    this.id = serverIdOf(server);
    this.#where = ('url' in server && RABBITMQ_URL.whereOf(server.url)) || 'the server of `client`';
    this.failures = new EngineErrors(rabbitMqFailures(), { queue: name, server: this.#where });
    this.#frameMax = 'url' in server ? FRAME_MAX : (frameMaxOf(server.client) ?? DEFAULT_FRAME_MAX);
  }

  /** Undefined for the client of a caller that hides its vhost. */
  get vhost(): string | undefined {
    const { server } = this.#options;
    return 'url' in server ? clientOptions(server.url).vhost : vhostOf(server.client);
  }

  /** Such as `4.0.5`. Undefined before a connection, and for the client of a caller. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Whether the queue opens its connections itself. */
  get isOwn(): boolean {
    return 'url' in this.#options.server;
  }

  /** How many bytes the properties of a message may take. */
  get frameMax(): number {
    return this.#frameMax;
  }

  /** Creates a connection, which connects when it is used. Calls `prepare` with each new link. */
  connect({ purpose, prepare, onUnblocked, publishTimeout }: ConnectOptions): Connection<RabbitLink> {
    const { name: queue, lease, logger } = this.#options;
    const responseTimeout = newResponseTimeout();
    const server = `RabbitMQ at ${this.#where}`;
    const onOverdue = ({ message }: OverdueError) =>
      logger.warn(`Queue ${JSON.stringify(queue)} closes a channel to ${server}: ${message}`, { queue });
    return new Connection({
      server,
      queue,
      connection: purpose,
      events: this.#events,
      engine: this.failures.engine,
      classify: this.classify,
      createLink: (lost) =>
        new RabbitLink({
          ...this.#client(purpose, publishTimeout),
          lease,
          responseTimeout,
          lost,
          onOverdue,
          onUnblocked,
        }),
      prepare: async (link) => {
        this.#checkFrames(link);
        await prepare(link);
      },
      connectTimeout: connectTimeoutFor(lease),
      logger,
    });
  }

  /** Repeats no request from now on, and does not reconnect. */
  stopReconnecting(): void {
    this.#isLeaving = true;
  }

  /** Removes the listeners from the client of a caller. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }

  /** The client uses frames of its option's size, even if the server accepts only smaller ones. */
  #checkFrames({ frameMax, isOwned }: RabbitLink): void {
    if (!isOwned || frameMax === undefined || frameMax >= this.#frameMax) return;
    this.#frameMax = frameMax;
    throw new Error(`RabbitMQ accepts frames of at most ${frameMax} bytes`);
  }

  #client(
    purpose: string,
    publishTimeout = Number.POSITIVE_INFINITY,
  ): { readonly client: Client; readonly owned: boolean } {
    const { server, name, lease } = this.#options;
    if ('client' in server) {
      this.#release ??= share(server.client as Client);
      return { client: server.client as Client, owned: false };
    }
    const heartbeat = Math.min(
      Math.round(lease / 1000 / HEARTBEATS),
      Math.floor(publishTimeout / 1000 / HEARTBEATS_IN_PUBLISH),
    );
    const client = new RabbitConnection({
      ...clientOptions(server.url),
      connectionName: `Sluice, queue "${name}", ${purpose}`,
      heartbeat: Math.min(MOST_HEARTBEAT, Math.max(1, heartbeat)),
      frameMax: this.#frameMax,
      connectionTimeout: 0,
      noDelay: true,
      retryLow: NEVER,
      retryHigh: NEVER,
    });
    refuseOtherProtocols(client as unknown as Client, (bytes) => {
      this.#version = readVersion(bytes) ?? this.#version;
    });
    flattenAllHeaders(client);
    return { client: client as unknown as Client, owned: true };
  }
}

/** How many listeners for one event a queue needs: one for each of two links, one between links. */
const LISTENERS = 3;

/** Prepares the client of a caller. Returns a function that undoes this. */
function share(client: Client): () => void {
  // The links report the errors. Between two links, an `error` event without a listener would end
  // the process.
  const ignore = () => {};
  // Each connection of the client has a socket of its own.
  const flatten = () => flattenAllHeaders(client);
  const room = client.getMaxListeners?.() ?? 0;
  // 0 means any number.
  const makeRoom = (count: number) => room > 0 && client.setMaxListeners?.((client.getMaxListeners?.() ?? 0) + count);
  makeRoom(LISTENERS);
  client.on('error', ignore);
  client.on('connection', flatten);
  flatten();
  return () => {
    client.removeListener('error', ignore);
    client.removeListener('connection', flatten);
    makeRoom(-LISTENERS);
  };
}
