import { createClient } from 'redis';
import { BackendUnavailableError } from '../errors.js';
import type { Logger } from '../internal/logger.js';
import { Connection, type RedisClient } from './connection.js';
import { isReply } from './failures.js';
import type { CheckedRedisOptions } from './options.js';
import { whereOf } from './url.js';

/** The oldest server that has the commands that the queue needs. */
const OLDEST = [6, 2] as const;

/** The shortest and the longest time that a server may take to answer, in milliseconds: within a third of the lease, or it could not be kept. */
const LEAST_PATIENCE = 1000;
const MOST_PATIENCE = 10_000;

/** Where the queue is, and how to connect to it. */
export class Server {
  /** For messages; without a password. */
  readonly where: string;
  readonly #server: CheckedRedisOptions['server'];
  readonly #queue: string;
  readonly #patience: number;
  readonly #logger: Logger;

  constructor(server: CheckedRedisOptions['server'], { queue, lease, logger }: { queue: string; lease: number; logger: Logger }) {
    this.#server = server;
    this.#queue = queue;
    this.#patience = Math.min(MOST_PATIENCE, Math.max(LEAST_PATIENCE, lease / 3));
    this.#logger = logger;
    this.where = ('url' in server && whereOf(server.url)) || 'the server of the client that was handed in';
  }

  /** A connection that is made when it is needed; `prepare` is called with each new one. */
  connect(purpose: string, prepare: (connection: Connection) => Promise<void>): Connection {
    return new Connection({
      title: `Queue "${this.#queue}", Redis at ${this.where}, connection for ${purpose}`,
      createClient: () => this.#createClient(),
      prepare,
      patience: this.#patience,
      logger: this.#logger,
    });
  }

  /** @throws {BackendUnavailableError} (a rejection) when the server is too old */
  async checkVersion(connection: Connection): Promise<void> {
    let info: unknown;
    try {
      info = await connection.send(['INFO', 'server']);
    } catch (error) {
      // Not every user may ask. Then a command that is missing will say so.
      if (isReply(error)) return;
      throw error;
    }
    const version = /redis_version:(\d+)\.(\d+)\S*/.exec(String(info));
    if (version === null) return;
    const [text, major, minor] = version;
    if (Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1])) return;
    const found = text.split(':')[1];
    throw new BackendUnavailableError(
      `Expected a server of version ${OLDEST.join('.')} or newer, got ${found} (queue "${this.#queue}", Redis at ${this.where})`,
      { retryable: false },
    );
  }

  #createClient(): RedisClient {
    const connectTimeout = this.#patience;
    // Answers as the scripts give them, and no second way to reconnect beside ours.
    const ours = { RESP: 2, disableOfflineQueue: true } as const;
    if ('url' in this.#server) {
      return createClient({ ...ours, url: this.#server.url, socket: { connectTimeout, reconnectStrategy: false } }) as unknown as RedisClient;
    }
    const { client } = this.#server;
    const { socket } = (client as { options?: { socket?: object } }).options ?? {};
    // What would need another protocol, give other types of answers, or end a wait that is meant to be long.
    const notTheirs = {
      clientSideCache: undefined,
      emitInvalidate: undefined,
      maintNotifications: 'disabled',
      commandOptions: {},
      commandsQueueMaxLength: undefined,
    };
    return client.duplicate({
      ...ours,
      ...notTheirs,
      socket: { ...socket, socketTimeout: undefined, connectTimeout, reconnectStrategy: false },
    });
  }
}
