import type { ConsumerGroup } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { ConfigurationError } from '../errors.js';
import { LONGEST_TIMER } from '../internal/after.js';
import { describe } from '../internal/describe.js';
import { DEFAULT_NAME, type Env, readGroups, readMilliseconds, readQueueName } from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkMethods, checkMilliseconds, checkName, checkNames, checkOptions } from '../internal/options.js';
import { EXPECTED_URL, whereOf } from './url.js';

/** The shortest lease, in milliseconds: a consumer has to be heard of several times within it. */
const LEAST_LEASE = 100;

const DEFAULT_LEASE = 30_000;
const DEFAULT_PUBLISH_TIMEOUT = 10_000;

/** What clients of node-redis have that are not for one server. */
const NOT_ONE_SERVER = ['slots', 'masters', 'acquire', 'totalClients'] as const;

/** A client of node-redis, as `createClient` makes it. */
export interface RedisClientTemplate {
  // biome-ignore lint/suspicious/noExplicitAny: the client's own types differ with its options, and all of them will do
  duplicate(overrides?: any): any;
}

export interface RedisBackendOptions {
  /**
   * The server: `redis://[[user][:password]@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`. Either this or `client`.
   */
  readonly url?: string | undefined;
  /**
   * A client of node-redis whose options are used: for certificates, credentials that change, sockets. The queue makes connections of its own with them; this
   * client itself is neither used, opened nor closed. Either this or `url`.
   */
  readonly client?: RedisClientTemplate | undefined;
  /** The name of the queue, with which all its keys begin: 1 to 255 bytes of UTF-8. Default: `default`. */
  readonly name?: string | undefined;
  /** The groups that exist from the first publish, each of which gets every message. Default: one, `default`. */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /**
   * How long after the last sign of life of a consumer its messages go to another, in milliseconds, from 100 to 2³¹ - 1. Live consumers keep it by themselves,
   * however long a handler takes, unless it blocks the event loop for as long. Default: 30,000.
   */
  readonly lease?: number | undefined;
  /** How long a publish may wait for its confirmation, in milliseconds, from 1 to 2³¹ - 1. Default: 10,000. */
  readonly publishTimeout?: number | undefined;
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

export interface CheckedRedisOptions {
  readonly server: { readonly url: string } | { readonly client: RedisClientTemplate };
  readonly name: string;
  readonly groups: readonly ConsumerGroup[];
  readonly lease: number;
  readonly publishTimeout: number;
  readonly logger: Logger;
}

/** @throws {TypeError | RangeError} for an option without sense; it names the option */
export function checkRedisOptions(options: RedisBackendOptions | undefined): CheckedRedisOptions {
  const {
    url,
    client,
    name = DEFAULT_NAME,
    groups = [DEFAULT_GROUP],
    lease = DEFAULT_LEASE,
    publishTimeout = DEFAULT_PUBLISH_TIMEOUT,
    logger = defaultLogger,
  } = checkOptions(options);
  return {
    server: checkServer(url, client),
    name: checkName('name', name),
    groups: checkNames('groups', groups, 'a list of group names that is not empty'),
    lease: checkMilliseconds('lease', lease, { least: LEAST_LEASE, most: LONGEST_TIMER }),
    publishTimeout: checkMilliseconds('publishTimeout', publishTimeout, { least: 1, most: LONGEST_TIMER }),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
}

/** Reads REDIS_URL, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE and QUEUE_PUBLISH_TIMEOUT. */
export function readRedisEnv(env: Env): RedisBackendOptions {
  const { REDIS_URL: url } = env;
  if (!url) throw new ConfigurationError(`Expected REDIS_URL to be ${EXPECTED_URL}, but it is not set`);
  if (whereOf(url) === undefined)
    throw new ConfigurationError(`Expected REDIS_URL to be ${EXPECTED_URL}, got something else (not shown: it may hold a password)`);
  return {
    url,
    name: readQueueName(env),
    groups: readGroups(env),
    lease: readMilliseconds(env, 'QUEUE_LEASE', { least: LEAST_LEASE, most: LONGEST_TIMER }),
    publishTimeout: readMilliseconds(env, 'QUEUE_PUBLISH_TIMEOUT', { least: 1, most: LONGEST_TIMER }),
  };
}

function checkServer(url: unknown, client: RedisClientTemplate | undefined): CheckedRedisOptions['server'] {
  if (client !== undefined) {
    if (url !== undefined) throw new TypeError('Expected either `url` or `client`, got both');
    checkMethods('client', client, ['duplicate']);
    const sign = NOT_ONE_SERVER.find((member) => member in client);
    if (sign === undefined) return { client };
    throw new TypeError(
      `Expected \`client\` to be a client of one server, as \`createClient\` makes it, got one with \`${sign}\`: of a cluster, a sentinel or a pool`,
    );
  }
  if (typeof url !== 'string') throw new TypeError(`Expected \`url\` to be ${EXPECTED_URL}, got ${describe(url)}`);
  if (whereOf(url) === undefined)
    throw new TypeError(`Expected \`url\` to be ${EXPECTED_URL}, got something else (not shown: it may hold a password)`);
  return { url };
}
