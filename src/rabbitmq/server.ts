import { Connection as RabbitConnection } from 'rabbitmq-client';
import { Connection } from '../core/connection.js';
import { EngineErrors } from '../core/engine-errors.js';
import { connectTimeoutFor } from '../core/options.js';
import type { Logger } from '../internal/logger.js';
import type { Client } from './client.js';
import { flattenAllHeaders, type Source } from './frames.js';
import { RabbitLink } from './link.js';
import type { CheckedRabbitMqOptions } from './options.js';
import { type OverdueError, Patience } from './patience.js';
import { rabbitMqFailures } from './rabbitmq-errors.js';
import { clientOptions, RABBITMQ_URL, serverIdOf } from './url.js';

/** The most that a frame may hold on our own connections, in bytes: what servers take unless they are told otherwise. */
const FRAME_MAX = 131_072;

/**
 * The most that the client reads at once when the two have agreed, in bytes. The server adds to the headers of what was delayed by which queues it went, without regard to the size of a
 * frame; what is larger by far is none.
 */
const MOST_READ = 2 * 1024 * 1024;

/** The most that a frame may hold on a connection that was handed in and does not say, as the client has it by default. */
const DEFAULT_FRAME_MAX = 8192;

/** How many heartbeats there are in a lease, in the time that a publish has, and the most seconds that AMQP has for one. The client misses two and a half before it gives up. */
const HEARTBEATS = 3;
const HEARTBEATS_IN_PUBLISH = 4;
const MOST_HEARTBEAT = 65_535;

/** A pause that the client never makes, in milliseconds: connecting anew is ours to do. */
const NEVER = 86_400_000;

export interface ConnectOptions {
  readonly purpose: string;
  readonly prepare: (link: RabbitLink) => Promise<void>;
  readonly onUnblocked?: (() => void) | undefined;
  /** How long a publish may wait, in milliseconds: a dead peer is noticed within that. Default: within the lease alone. */
  readonly publishTimeout?: number | undefined;
}

/** Where the queue is, and how to connect to it. */
export class Server {
  readonly failures: EngineErrors;
  /** Identifies the server within this process. */
  readonly id: string;
  #frameMax: number;
  #release: (() => void) | undefined;
  readonly #server: CheckedRabbitMqOptions['server'];
  /** For messages; without a password. */
  readonly #where: string;
  readonly #queue: string;
  readonly #lease: number;
  readonly #logger: Logger;

  constructor({ server, name, lease, logger }: CheckedRabbitMqOptions) {
    this.#server = server;
    this.id = serverIdOf(server);
    this.#queue = name;
    this.#lease = lease;
    this.#logger = logger;
    this.#where =
      ('url' in server && RABBITMQ_URL.whereOf(server.url)) || 'the server of the client that was handed in';
    this.failures = new EngineErrors(rabbitMqFailures(), { queue: name, server: this.#where });
    this.#frameMax = 'url' in server ? FRAME_MAX : frameMaxOf(server.client);
  }

  /** Undefined where a client was handed in that does not tell. */
  get vhost(): string | undefined {
    if ('url' in this.#server) return clientOptions(this.#server.url).vhost;
    const { vhost } = optionsOf(this.#server.client);
    return typeof vhost === 'string' ? vhost : undefined;
  }

  /** How many bytes the properties of a message may take together. */
  get frameMax(): number {
    return this.#frameMax;
  }

  /** A connection that is made when it is needed; `prepare` is called with each new one. */
  connect({ purpose, prepare, onUnblocked, publishTimeout }: ConnectOptions): Connection<RabbitLink> {
    const patience = new Patience();
    const server = `RabbitMQ at ${this.#where}`;
    const queue = this.#queue;
    const onOverdue = ({ message }: OverdueError) =>
      this.#logger.warn(`Queue ${JSON.stringify(queue)} closes a channel to ${server}: ${message}`, { queue });
    return new Connection({
      server,
      queue,
      connection: purpose,
      broker: this.failures.broker,
      classify: this.failures.classify,
      createLink: (lost) =>
        new RabbitLink({
          ...this.#client(purpose, publishTimeout),
          lease: this.#lease,
          patience,
          lost,
          onOverdue,
          onUnblocked,
        }),
      prepare: async (link) => {
        this.#checkFrames(link);
        await prepare(link);
      },
      connectTimeout: connectTimeoutFor(this.#lease),
      logger: this.#logger,
    });
  }

  /** Nothing of a client that was handed in is used any more. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }

  /** The client sends and reads frames of the size that it was given, also where the server wants smaller ones: then it has to be given that. */
  #checkFrames({ frameMax, isOwned }: RabbitLink): void {
    if (!isOwned || frameMax === undefined || frameMax >= this.#frameMax) return;
    this.#frameMax = frameMax;
    throw new Error(`RabbitMQ wants frames of at most ${frameMax} bytes: connecting anew with these`);
  }

  #client(
    purpose: string,
    publishTimeout = Number.POSITIVE_INFINITY,
  ): { readonly client: Client; readonly owned: boolean } {
    if ('client' in this.#server) {
      // Between two links, too, somebody has to hear of its errors.
      this.#release ??= share(this.#server.client as Client);
      return { client: this.#server.client as Client, owned: false };
    }
    const heartbeat = Math.min(
      Math.round(this.#lease / 1000 / HEARTBEATS),
      Math.floor(publishTimeout / 1000 / HEARTBEATS_IN_PUBLISH),
    );
    const client = new RabbitConnection({
      ...clientOptions(this.#server.url),
      connectionName: `Sluice, queue "${this.#queue}", ${purpose}`,
      heartbeat: Math.min(MOST_HEARTBEAT, Math.max(1, heartbeat)),
      frameMax: this.#frameMax,
      connectionTimeout: 0,
      noDelay: true,
      retryLow: NEVER,
      retryHigh: NEVER,
    });
    refuseWhatIsNoFrame(client);
    flattenAllHeaders(client);
    return { client: client as unknown as Client, owned: true };
  }
}

/**
 * Where something else than RabbitMQ answers, the client takes what that says for the length of a frame. It waits for as many bytes, or throws in an event
 * of its socket, which nobody could catch.
 */
function refuseWhatIsNoFrame(client: RabbitConnection): void {
  const { _socket: socket } = client as unknown as { _socket?: Source & { destroy: (error: Error) => void } };
  const read = socket?.read;
  if (socket === undefined || read === undefined) return;
  // A frame, and its last byte.
  let most = FRAME_MAX + 1;
  client.on('connection', () => {
    most = MOST_READ;
  });
  socket.read = (size) => {
    if (size === undefined || size <= most) return read.call(socket, size);
    socket.destroy(Object.assign(new Error('It does not speak AMQP'), { code: 'FRAME_ERROR' }));
    return null;
  };
}

/** It keeps its options, though not for others to read. */
function optionsOf(client: object): { readonly frameMax?: unknown; readonly vhost?: unknown } {
  return (client as { _opt?: object })._opt ?? {};
}

function frameMaxOf(client: object): number {
  const { frameMax } = optionsOf(client);
  return typeof frameMax === 'number' ? frameMax : DEFAULT_FRAME_MAX;
}

/** How many listeners of each kind a queue has on a client, at most: one for each of its two links, and one that is always there. */
const LISTENERS = 3;

/** Prepares a client that others use too: listens to its errors, has it decode any headers, makes room for listeners. Returns what undoes it. */
function share(client: Client): () => void {
  // The links report errors. An event without a listener would end the process.
  const ignore = () => {};
  // Each connection of the client has a socket of its own.
  const flatten = () => flattenAllHeaders(client);
  const room = client.getMaxListeners?.() ?? 0;
  // None means any number.
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
