import { type BrokerOptions, type CheckedBrokerOptions, checkBrokerOptions, checkServer, readBrokerEnv } from '../broker/options.js';
import type { Env } from '../internal/environment.js';
import { checkMethods, checkOptions } from '../internal/options.js';
import { REDIS_URL } from './url.js';

/** What clients of node-redis have that are not for one server. */
const NOT_ONE_SERVER = ['slots', 'masters', 'acquire', 'totalClients'] as const;

/** A client of node-redis, as `createClient` makes it. */
export interface RedisClientTemplate {
  // biome-ignore lint/suspicious/noExplicitAny: the client's own types differ with its options, and all of them will do
  duplicate(overrides?: any): any;
}

export interface RedisBackendOptions extends BrokerOptions {
  /**
   * The server: `redis://[[user][:password]@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`. Either this or `client`.
   */
  readonly url?: string | undefined;
  /**
   * A client of node-redis whose options are used: for certificates, credentials that change, sockets. The queue makes connections of its own with them; this
   * client itself is neither used, opened nor closed. Either this or `url`.
   */
  readonly client?: RedisClientTemplate | undefined;
}

export interface CheckedRedisOptions extends CheckedBrokerOptions {
  readonly server: { readonly url: string } | { readonly client: RedisClientTemplate };
}

/** @throws {TypeError | RangeError} for an option without sense; it names the option */
export function checkRedisOptions(options: RedisBackendOptions | undefined): CheckedRedisOptions {
  const given = checkOptions(options);
  return { server: checkServer(given, { ...REDIS_URL, checkClient }), ...checkBrokerOptions(given) };
}

/** Reads REDIS_URL, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE and QUEUE_PUBLISH_TIMEOUT. */
export function readRedisEnv(env: Env): RedisBackendOptions {
  return readBrokerEnv(env, 'REDIS_URL', REDIS_URL);
}

function checkClient(client: RedisClientTemplate): void {
  checkMethods('client', client, ['duplicate']);
  const sign = NOT_ONE_SERVER.find((member) => member in client);
  if (sign === undefined) return;
  throw new TypeError(
    `Expected \`client\` to be a client of one server, as \`createClient\` makes it, got one with \`${sign}\`: of a cluster, a sentinel or a pool`,
  );
}
