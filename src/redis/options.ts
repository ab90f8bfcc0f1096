import {
  type CheckedDriverOptions,
  checkDriverOptions,
  checkServer,
  type DriverOptions,
  decodeAll,
  readDriverEnv,
  type UrlRule,
} from '../core/options.js';
import type { Env } from '../internal/environment.js';
import { checkMethods, checkOptions } from '../internal/options.js';

/** The URL of a Unix socket, as node-redis reads it. `URL` does not take a user before the path. */
const UNIX = /^unix:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?(\/[^?#]+)(?:\?([^#]*))?(?:#.*)?$/;

/** The URLs that node-redis understands. */
export const REDIS_URL: UrlRule = {
  expected: 'a URL such as redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path',
  whereOf: (url) => {
    try {
      const unix = UNIX.exec(url);
      if (unix !== null) {
        const [, user = '', password = '', path = '', query = ''] = unix;
        decodeAll(user, password);
        return /^\d*$/.test(new URLSearchParams(query).get('db') ?? '') ? decodeURIComponent(path) : undefined;
      }
      const { protocol, host, hostname, pathname, username, password } = new URL(url);
      decodeAll(username, password);
      return /^rediss?:$/.test(protocol) && hostname !== '' && /^\/?\d*$/.test(pathname) ? host : undefined;
    } catch {
      // This is not a URL. The caller reports the error.
      return undefined;
    }
  },
};

/** A client of node-redis, as `createClient`, `createSentinel` or `createCluster` makes it. */
export interface RedisClientTemplate {
  // biome-ignore lint/suspicious/noExplicitAny: the client's own types differ with its options
  duplicate(overrides?: any): any;
}

/** The options of `RedisBackend`: those of all engines, and how to reach the server. */
export interface RedisBackendOptions extends DriverOptions {
  /**
   * The server: `redis://[[user][:password]@]host[:port][/database]`, `rediss://` for TLS, or
   * `unix:///path`. Either this or `client`.
   */
  readonly url?: string | undefined;
  /**
   * A client of node-redis whose options the queue uses for connections of its own: for
   * certificates, changing credentials or sockets. With a client of `createSentinel` (`redis` 6) or
   * `createCluster`, the queue follows a failover. The queue neither uses, opens nor closes the
   * client itself. Either this or `url`.
   */
  readonly client?: RedisClientTemplate | undefined;
}

export interface CheckedRedisOptions extends CheckedDriverOptions {
  readonly server: { readonly url: string } | { readonly client: RedisClientTemplate };
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkRedisOptions(options: RedisBackendOptions | undefined): CheckedRedisOptions {
  const given = checkOptions(options);
  return { server: checkServer(given, { ...REDIS_URL, checkClient }), ...checkDriverOptions(given) };
}

/** Reads REDIS_URL and the variables that all engines share. */
export function readRedisEnv(env: Env): RedisBackendOptions {
  return readDriverEnv(env, 'REDIS_URL', REDIS_URL);
}

function checkClient(client: RedisClientTemplate): void {
  checkMethods('client', client, ['duplicate']);
  if ('totalClients' in client)
    throw new TypeError(
      'Expected `client` to be a client of createClient, createSentinel or createCluster, got a pool',
    );
}
