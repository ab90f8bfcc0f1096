import {
  type CheckedDriverOptions,
  checkDriverOptions,
  checkServer,
  type DriverOptions,
  readDriverEnv,
} from '../core/options.js';
import type { Env } from '../internal/environment.js';
import { checkMethods, checkOptions } from '../internal/options.js';
import { REDIS_URL } from './url.js';

/** A client of node-redis, as `createClient`, `createSentinel` or `createCluster` makes it. */
export interface RedisClientTemplate {
  // biome-ignore lint/suspicious/noExplicitAny: the client's own types differ with its options
  duplicate(overrides?: any): any;
}

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
