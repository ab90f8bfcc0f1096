import { createClient } from 'redis';
import type { ConsumerGroup } from '../backend.js';
import { EngineErrors } from '../core/engine-errors.js';
import { maxBackoffFor, responseTimeoutFor } from '../core/options.js';
import { BackendUnavailableError } from '../errors.js';
import type { Logger } from '../internal/logger.js';
import { Connection } from './connection.js';
import { queueKeys } from './keys.js';
import type { CheckedRedisOptions, RedisClientTemplate } from './options.js';
import { isReply, redisFailures } from './redis-errors.js';
import { direct, type RedisClient, type Route, routeOf, searches } from './route.js';
import { readServerVersion } from './server-version.js';
import { slotOf } from './slot.js';
import { REDIS_URL } from './url.js';

/** How often a connection is used at least within the time after which the server closes it. */
const USES = 3;

/**
 * How long a connection may be idle if the server does not tell its timeout, in milliseconds. An idle
 * consumer uses its connection more often, and sends no PING for this.
 */
const MOST_IDLE = 20_000;

/** The oldest version of Redis that has the commands that the queue needs. All versions of Valkey have them. */
const OLDEST = [6, 2] as const;

/** What a server takes in the name of a connection is ASCII, without spaces and control characters. */
const NOT_IN_A_NAME = /[^!-~]/gu;

/** Answers as the scripts give them, and no second way to reconnect beside ours. */
const OURS = { RESP: 2, disableOfflineQueue: true } as const;

/** What would need another protocol, give other types of answers, or end a wait that is meant to be long. */
const NOT_THEIRS = {
  clientSideCache: undefined,
  emitInvalidate: undefined,
  maintNotifications: 'disabled',
  commandOptions: {},
  commandsQueueMaxLength: undefined,
};

/** How long sentinels or cluster nodes may be asked for the server, in milliseconds: the client gives up on a node that does not answer after five seconds. */
const LONGEST_SEARCH = 10_000;

/** Where the queue is, and how to connect to it. */
export class Server {
  readonly failures: EngineErrors;
  readonly #server: CheckedRedisOptions['server'];
  /** For messages; without a password. */
  readonly #where: string;
  readonly #queue: string;
  readonly #responseTimeout: number;
  readonly #maxBackoff: number;
  readonly #logger: Logger;
  #mostIdle = MOST_IDLE;
  /** The last version that was logged. */
  #version: string | undefined;

  constructor({ server, name, lease, publishTimeout, logger }: CheckedRedisOptions) {
    this.#server = server;
    this.#queue = name;
    this.#responseTimeout = responseTimeoutFor({ lease, publishTimeout });
    this.#maxBackoff = maxBackoffFor(lease);
    this.#logger = logger;
    this.#where = ('url' in server && REDIS_URL.whereOf(server.url)) || 'the server of the client that was handed in';
    this.failures = new EngineErrors(redisFailures(name), { queue: name, server: this.#where });
  }

  /** A connection that is made when it is needed, for the queue or to wait for messages of a group; `prepare` is called with each new one. */
  connect(group: ConsumerGroup | undefined, prepare: (connection: Connection) => Promise<void>): Connection {
    const purpose = group === undefined ? 'the queue' : `group "${group}"`;
    return new Connection({
      server: `Redis at ${this.#where}`,
      queue: this.#queue,
      connection: purpose,
      name: ['sluice', this.#queue, ...(group === undefined ? [] : [group])].join(':').replaceAll(NOT_IN_A_NAME, '_'),
      broker: this.failures.broker,
      classify: this.failures.classify,
      createRoute: () => this.#createRoute(),
      search: 'client' in this.#server && searches(this.#server.client) ? LONGEST_SEARCH : 0,
      prepare,
      mostIdle: () => this.#mostIdle,
      connectTimeout: this.#responseTimeout,
      maxBackoff: this.#maxBackoff,
      logger: this.#logger,
    });
  }

  /** Logs the version of the server. @throws {BackendUnavailableError} (a rejection) if the server is too old */
  async checkVersion(connection: Connection): Promise<void> {
    let info: unknown;
    try {
      info = await connection.send(['INFO', 'server']);
    } catch (error) {
      // Not every user may ask. Then a command that is missing will say so.
      if (isReply(error)) return;
      throw error;
    }
    const version = readServerVersion(String(info));
    if (version === undefined) return;
    const { title, redis } = version;
    if (redis[0] < OLDEST[0] || (redis[0] === OLDEST[0] && redis[1] < OLDEST[1])) {
      throw new BackendUnavailableError(
        `Expected Redis ${OLDEST.join('.')} or newer, or Valkey, got ${title} (queue "${this.#queue}", Redis at ${this.#where})`,
        { retryable: false },
      );
    }
    // Connections to one server follow one another. Another version is news: of an upgrade, or of another server.
    if (title !== this.#version)
      this.#logger.debug(`Queue ${JSON.stringify(this.#queue)} is on ${title} at ${this.#where}`, {
        queue: this.#queue,
      });
    this.#version = title;
  }

  /** How long a connection may be idle, in milliseconds. */
  get mostIdle(): number {
    return this.#mostIdle;
  }

  /** Asks after how long the server closes connections that are idle. */
  async readIdleTimeout(connection: Connection): Promise<void> {
    this.#mostIdle = MOST_IDLE;
    try {
      const [, seconds] = (await connection.send(['CONFIG', 'GET', 'timeout'])) as [name: string, seconds: string];
      if (/^\d+$/.test(seconds))
        this.#mostIdle = seconds === '0' ? Number.POSITIVE_INFINITY : (Number(seconds) * 1000) / USES;
    } catch (error) {
      // Not every user may ask.
      if (!isReply(error)) throw error;
    }
  }

  #createRoute(): Route {
    if ('url' in this.#server) {
      const socket = { connectTimeout: this.#responseTimeout, reconnectStrategy: false } as const;
      return direct(createClient({ ...OURS, url: this.#server.url, socket }) as unknown as RedisClient);
    }
    return routeOf(
      this.#server.client,
      slotOf(queueKeys(this.#queue).stream),
      (client) => this.#duplicate(client),
      LONGEST_SEARCH,
    );
  }

  #duplicate(client: RedisClientTemplate): RedisClient {
    const { socket } = (client as { options?: { socket?: object } }).options ?? {};
    return client.duplicate({
      ...OURS,
      ...NOT_THEIRS,
      socket: { ...socket, socketTimeout: undefined, connectTimeout: this.#responseTimeout, reconnectStrategy: false },
    });
  }
}
