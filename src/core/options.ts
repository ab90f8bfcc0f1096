import type { ConsumerGroup } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { ConfigurationError } from '../errors.js';
import { LONGEST_TIMER } from '../internal/after.js';
import { checkDedupeWindow, readDedupeWindow } from '../internal/dedupe-window.js';
import { describe } from '../internal/describe.js';
import {
  DEFAULT_NAME,
  type Env,
  readFlag,
  readGroups,
  readMilliseconds,
  readQueueName,
  readVariable,
} from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkCount, checkFlag, checkMethods, checkMilliseconds, checkName, checkNames } from '../internal/options.js';

/** The shortest lease, in milliseconds. A consumer renews it several times within it. */
const MIN_LEASE = 100;

const DEFAULT_LEASE = 30_000;
const DEFAULT_PUBLISH_TIMEOUT = 10_000;
const DEFAULT_MAX_PENDING = 100_000;

/** The options of every engine. */
export interface DriverOptions {
  /**
   * The name of the queue, 1 to 255 bytes of UTF-8. All its names on the server start with it.
   * Default: `default`.
   */
  readonly name?: string | undefined;
  /**
   * The groups of the queue. Each gets every message from the first publish on. Default: one,
   * `default`.
   */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /**
   * How long after a consumer dies its messages go to another consumer, in milliseconds, from 100
   * to 2³¹ - 1. A live consumer renews its leases, however long its handlers run, unless a handler
   * blocks the event loop for this long. Default: 30,000.
   */
  readonly lease?: number | undefined;
  /**
   * The deadline of a publish, in milliseconds, from 1 to 2³¹ - 1. From 4,000 up, a publish
   * survives one connection that dies silently: it counts as lost after a third of this time
   * (RabbitMQ: by heartbeats, after at most five eighths). Default: 10,000.
   */
  readonly publishTimeout?: number | undefined;
  /**
   * How many messages may be unconfirmed, an integer >= 1. Further publishes wait, in order, until
   * their signal aborts or `publishTimeout` has passed. They then reject, and the message was not
   * enqueued. Default: 100,000.
   */
  readonly maxPending?: number | undefined;
  /**
   * How long a published `id` is remembered, in milliseconds, from 100 to 2³¹ - 1. Within this
   * time, a second message with that id is not stored. Default: 120,000.
   */
  readonly dedupeWindow?: number | undefined;
  /**
   * Whether to create the queue and its declared groups if they do not exist. With `false`, every
   * call and stream fails with a `QueueNotFoundError` then. Default: true.
   */
  readonly create?: boolean | undefined;
  /** Gets warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

export interface CheckedDriverOptions {
  readonly name: string;
  readonly groups: readonly ConsumerGroup[];
  /**
   * Whether `groups` was given. Without it, a queue with other groups does not get the group
   * `default`.
   */
  readonly groupsDeclared: boolean;
  readonly lease: number;
  readonly publishTimeout: number;
  readonly maxPending: number;
  /** In milliseconds. */
  readonly dedupeWindow: number;
  readonly create: boolean;
  readonly logger: Logger;
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkDriverOptions(options: DriverOptions): CheckedDriverOptions {
  const {
    name = DEFAULT_NAME,
    groups = [DEFAULT_GROUP],
    lease = DEFAULT_LEASE,
    publishTimeout = DEFAULT_PUBLISH_TIMEOUT,
    maxPending = DEFAULT_MAX_PENDING,
    dedupeWindow,
    create = true,
    logger = defaultLogger,
  } = options;
  return {
    name: checkName('name', name),
    groups: checkNames('groups', groups, 'a list of group names that is not empty'),
    groupsDeclared: options.groups !== undefined,
    lease: checkMilliseconds('lease', lease, { least: MIN_LEASE, most: LONGEST_TIMER }),
    publishTimeout: checkMilliseconds('publishTimeout', publishTimeout, { least: 1, most: LONGEST_TIMER }),
    maxPending: checkCount('maxPending', maxPending),
    dedupeWindow: checkDedupeWindow(dedupeWindow),
    create: checkFlag('create', create),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
}

/** The valid URLs of an engine. */
export interface UrlRule {
  /** A description with an example. */
  readonly expected: string;
  /**
   * Returns the address in a URL, without user and password. Undefined if the client cannot parse
   * it.
   */
  readonly whereOf: (url: string) => string | undefined;
}

const SECRET = 'got something else (not shown: it may hold a password)';

/**
 * Checks how to reach the server: by a URL or by a client.
 * @throws {TypeError} unless exactly one of them is given and valid
 */
export function checkServer<Client extends object>(
  { url, client }: { readonly url?: unknown; readonly client?: Client | undefined },
  { expected, whereOf, checkClient }: UrlRule & { readonly checkClient: (client: Client) => void },
): { readonly url: string } | { readonly client: Client } {
  if (client !== undefined) {
    if (url !== undefined) throw new TypeError('Expected either `url` or `client`, got both');
    checkClient(client);
    return { client };
  }
  if (typeof url !== 'string') throw new TypeError(`Expected \`url\` to be ${expected}, got ${describe(url)}`);
  if (whereOf(url) === undefined) throw new TypeError(`Expected \`url\` to be ${expected}, ${SECRET}`);
  return { url };
}

/**
 * Reads the variable of the URL, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE, QUEUE_PUBLISH_TIMEOUT,
 * QUEUE_DEDUPE_WINDOW and QUEUE_CREATE.
 * @throws {ConfigurationError} if a variable is missing or malformed. The message names it, and
 * contains no password.
 */
export function readDriverEnv(
  env: Env,
  variable: string,
  { expected, whereOf }: UrlRule,
): DriverOptions & { readonly url: string } {
  const url = readVariable(env, variable);
  if (url === undefined) throw new ConfigurationError(`Expected ${variable} to be ${expected}, but it is not set`);
  if (whereOf(url) === undefined) throw new ConfigurationError(`Expected ${variable} to be ${expected}, ${SECRET}`);
  return {
    url,
    name: readQueueName(env),
    groups: readGroups(env),
    lease: readMilliseconds(env, 'QUEUE_LEASE', { least: MIN_LEASE, most: LONGEST_TIMER }),
    publishTimeout: readMilliseconds(env, 'QUEUE_PUBLISH_TIMEOUT', { least: 1, most: LONGEST_TIMER }),
    dedupeWindow: readDedupeWindow(env),
    create: readFlag(env, 'QUEUE_CREATE'),
  };
}

/** The shortest and the longest response timeout, in milliseconds. */
const MIN_TIMEOUT = 1000;
const MAX_TIMEOUT = 10_000;

/** The deadline for connecting and preparing the link, in milliseconds. */
export function connectTimeoutFor(lease: number): number {
  return Math.min(MAX_TIMEOUT, Math.max(MIN_TIMEOUT, Math.round(lease / 3)));
}

/**
 * How long the server may take to respond before the connection counts as lost, in milliseconds. A
 * third of the lease, so that no lease expires unnoticed. A third of `publishTimeout`, so that a
 * publish has time to reconnect and to be sent again.
 */
export function responseTimeoutFor({
  lease,
  publishTimeout,
}: Pick<CheckedDriverOptions, 'lease' | 'publishTimeout'>): number {
  return connectTimeoutFor(Math.min(lease, publishTimeout));
}

/** @throws {URIError} if a part is not valid percent-encoding */
export function decodeAll(...parts: readonly string[]): void {
  parts.forEach(decodeURIComponent);
}
