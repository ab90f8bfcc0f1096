import { createClient } from 'redis';
import type { ConsumerGroup } from '../backend.js';
import { Connection } from '../core/connection.js';
import { EngineErrors } from '../core/engine-errors.js';
import type { QueueEvents } from '../core/events.js';
import { responseTimeoutFor } from '../core/options.js';
import { ResponseTimeout } from '../core/response-timeout.js';
import { BackendUnavailableError } from '../errors.js';
import { queueKeys, slotOf } from './keys.js';
import { RedisLink } from './link.js';
import { type CheckedRedisOptions, REDIS_URL, type RedisClientTemplate } from './options.js';
import { isReply, redisFailures } from './redis-errors.js';
import { direct, type RedisClient, type Route, routeOf, searches } from './route.js';

/** How often a connection is used within the time after which the server closes idle ones. */
const USES = 3;

/**
 * How long a connection may be idle if the timeout of the server is unknown, in milliseconds. An
 * idle consumer uses its connection more often, and sends no PING for this.
 */
const MAX_IDLE = 20_000;

/** The oldest version of Redis with all commands of the queue. All versions of Valkey have them. */
const OLDEST = [6, 2] as const;

/** The name of a connection must be ASCII, without spaces and control characters. */
const NOT_IN_A_NAME = /[^!-~]/gu;

/**
 * Replies as the scripts give them, and no second way to reconnect beside the queue's own. The link
 * has its own deadline for each command, so node-redis must not create an `AbortSignal` for each.
 */
const REQUIRED_OPTIONS = { RESP: 2, disableOfflineQueue: true, commandOptions: { timeout: 0 } } as const;

/** Options that need another protocol, or limit a wait. */
const RESET_OPTIONS = {
  clientSideCache: undefined,
  emitInvalidate: undefined,
  maintNotifications: 'disabled',
  commandsQueueMaxLength: undefined,
};

/** The longest search for the server, in milliseconds. A silent node takes five seconds. */
const MAX_SEARCH = 10_000;

/** How many times the usual response timeout a slow server gets at most. */
const MAX_SLOWNESS = 12;

/** Where the queue is, and how to connect to it. */
export class Server {
  readonly failures: EngineErrors;
  readonly #options: CheckedRedisOptions;
  /** For messages; without a password. */
  readonly #where: string;
  readonly #responseTimeout: number;
  #maxIdle = MAX_IDLE;
  /** The last version that was logged. */
  #version: string | undefined;

  constructor(options: CheckedRedisOptions) {
    this.#options = options;
    const { server, name } = options;
    this.#responseTimeout = responseTimeoutFor(options);
    this.#where = ('url' in server && REDIS_URL.whereOf(server.url)) || 'the server of `client`';
    this.failures = new EngineErrors(redisFailures(name), { queue: name, server: this.#where });
  }

  /**
   * Creates a connection, which connects when it is used.
   * @param group whose messages the connection waits for. Undefined: it is for the queue.
   * @param prepare called with each new link
   */
  connect(
    group: ConsumerGroup | undefined,
    prepare: (link: RedisLink) => Promise<void>,
    events?: QueueEvents,
  ): Connection<RedisLink> {
    const { server, name: queue, lease, logger } = this.#options;
    const name = ['sluice', queue, ...(group === undefined ? [] : [group])].join(':');
    const responseTimeout = new ResponseTimeout(this.#responseTimeout, MAX_SLOWNESS);
    const search = 'client' in server && searches(server.client) ? MAX_SEARCH : 0;
    return new Connection({
      server: `Redis at ${this.#where}`,
      queue,
      connection: group === undefined ? 'the queue' : `group "${group}"`,
      engine: this.failures.engine,
      classify: this.failures.classify,
      createLink: (lost) => new RedisLink({ route: this.#createRoute(), responseTimeout, lost }),
      prepare: async (link) => {
        link.setName(name.replaceAll(NOT_IN_A_NAME, '_'));
        await prepare(link);
        link.keepAlive(this.#maxIdle);
      },
      connectTimeout: this.#responseTimeout + search,
      lease,
      logger,
      events,
    });
  }

  /** How long a connection may be idle, in milliseconds. */
  get maxIdle(): number {
    return this.#maxIdle;
  }

  /**
   * Logs the version of the server.
   * @throws {BackendUnavailableError} (a rejection) if the server is too old
   */
  async checkVersion(link: RedisLink): Promise<void> {
    let info: unknown;
    try {
      info = await link.send(['INFO', 'server']);
    } catch (error) {
      // Not every user may ask. A server that is too old then fails with an unknown command.
      if (isReply(error)) return;
      throw error;
    }
    const version = readVersion(String(info));
    if (version === undefined) return;
    const { title, isTooOld } = version;
    const { name: queue, logger } = this.#options;
    if (isTooOld) {
      throw new BackendUnavailableError(
        `Expected Redis ${OLDEST.join('.')} or newer, or Valkey, got ${title} (queue "${queue}", Redis at ${this.#where})`,
        { retryable: false },
      );
    }
    // Another version means an upgrade, or another server.
    if (title !== this.#version)
      logger.debug(`Queue ${JSON.stringify(queue)} is on ${title} at ${this.#where}`, { queue });
    this.#version = title;
  }

  /** Reads after which time the server closes idle connections. */
  async readIdleTimeout(link: RedisLink): Promise<void> {
    this.#maxIdle = MAX_IDLE;
    try {
      const [, seconds] = (await link.send(['CONFIG', 'GET', 'timeout'])) as [name: string, seconds: string];
      if (/^\d+$/.test(seconds))
        this.#maxIdle = seconds === '0' ? Number.POSITIVE_INFINITY : (Number(seconds) * 1000) / USES;
    } catch (error) {
      // Not every user may ask.
      if (!isReply(error)) throw error;
    }
  }

  #createRoute(): Route {
    const { server, name } = this.#options;
    if ('url' in server) {
      const socket = { connectTimeout: this.#responseTimeout, reconnectStrategy: false } as const;
      return direct(createClient({ ...REQUIRED_OPTIONS, url: server.url, socket }) as unknown as RedisClient);
    }
    const slot = slotOf(queueKeys(name).stream);
    return routeOf(server.client, slot, (client) => this.#duplicate(client), MAX_SEARCH);
  }

  #duplicate(client: RedisClientTemplate): RedisClient {
    const { socket } = (client as { options?: { socket?: object } }).options ?? {};
    return client.duplicate({
      ...REQUIRED_OPTIONS,
      ...RESET_OPTIONS,
      socket: { ...socket, socketTimeout: undefined, connectTimeout: this.#responseTimeout, reconnectStrategy: false },
    });
  }
}

/**
 * Reads the version from the reply to `INFO server`. Undefined if it has none. Valkey replies with
 * its own `valkey_version`. Its `redis_version` is the version of Redis that it is compatible with.
 */
export function readVersion(info: string): { readonly title: string; readonly isTooOld: boolean } | undefined {
  const redis = /^redis_version:((\d+)\.(\d+)\S*)/m.exec(info);
  if (redis === null) return undefined;
  const [major, minor] = [Number(redis[2]), Number(redis[3])];
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  return {
    title: valkey === undefined ? `Redis ${redis[1]}` : `Valkey ${valkey}`,
    isTooOld: major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]),
  };
}
