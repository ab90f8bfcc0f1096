import type { ConsumerGroup } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { ConfigurationError } from '../errors.js';
import { LONGEST_TIMER } from '../internal/after.js';
import { checkDedupeWindow, readDedupeWindow } from '../internal/dedupe-window.js';
import { describe } from '../internal/describe.js';
import {
  DEFAULT_NAME,
  type Env,
  readGroups,
  readMilliseconds,
  readQueueName,
  readVariable,
} from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkCount, checkMethods, checkMilliseconds, checkName, checkNames } from '../internal/options.js';

/** The shortest lease, in milliseconds: a consumer has to be heard of several times within it. */
const LEAST_LEASE = 100;

const DEFAULT_LEASE = 30_000;
const DEFAULT_PUBLISH_TIMEOUT = 10_000;
const DEFAULT_MAX_PENDING = 100_000;

/** The options that every broker has. */
export interface DriverOptions {
  /** The name of the queue, with which all begins that it keeps on the broker: 1 to 255 bytes of UTF-8. Default: `default`. */
  readonly name?: string | undefined;
  /** The groups that exist from the first publish, each of which gets every message. Default: one, `default`. */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /**
   * How long after the last sign of life of a consumer its messages go to another, in milliseconds, from 100 to 2³¹ - 1. Live consumers keep it by themselves,
   * however long a handler takes, unless it blocks the event loop for as long. Default: 30,000.
   */
  readonly lease?: number | undefined;
  /**
   * How long a publish may wait for its confirmation, in milliseconds, from 1 to 2³¹ - 1. From 4,000 up, a publish survives that the broker vanishes once
   * without a word: the connection counts as lost after a third of this time (RabbitMQ: by heartbeats, after five eighths at most). Default: 10,000.
   */
  readonly publishTimeout?: number | undefined;
  /**
   * How many messages may be unconfirmed at a time, a whole number from 1 up. The `publish` of one more waits for room, first come first served, until its signal
   * aborts or `publishTimeout` has passed since the call: then it rejects, and the message was not enqueued. Default: 100,000.
   */
  readonly maxPending?: number | undefined;
  /**
   * How long a published `id` is remembered, in milliseconds, from 100 to 2³¹ - 1. A second message with that id is not stored
   * within this time. Default: 120,000.
   */
  readonly dedupeWindow?: number | undefined;
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

export interface CheckedDriverOptions {
  readonly name: string;
  readonly groups: readonly ConsumerGroup[];
  /** Whether `groups` was given. If not, it is the group `default`, which a queue that has other groups may do without. */
  readonly groupsDeclared: boolean;
  readonly lease: number;
  readonly publishTimeout: number;
  readonly maxPending: number;
  /** In milliseconds. */
  readonly dedupeWindow: number;
  readonly logger: Logger;
}

/** @throws {TypeError | RangeError} for an option without sense; it names the option */
export function checkDriverOptions(options: DriverOptions): CheckedDriverOptions {
  const {
    name = DEFAULT_NAME,
    groups = [DEFAULT_GROUP],
    lease = DEFAULT_LEASE,
    publishTimeout = DEFAULT_PUBLISH_TIMEOUT,
    maxPending = DEFAULT_MAX_PENDING,
    dedupeWindow,
    logger = defaultLogger,
  } = options;
  return {
    name: checkName('name', name),
    groups: checkNames('groups', groups, 'a list of group names that is not empty'),
    groupsDeclared: options.groups !== undefined,
    lease: checkMilliseconds('lease', lease, { least: LEAST_LEASE, most: LONGEST_TIMER }),
    publishTimeout: checkMilliseconds('publishTimeout', publishTimeout, { least: 1, most: LONGEST_TIMER }),
    maxPending: checkCount('maxPending', maxPending),
    dedupeWindow: checkDedupeWindow(dedupeWindow),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
}

/** What the URL of a broker looks like. */
export interface UrlRule {
  /** In words, with an example. */
  readonly expected: string;
  /** Where a URL leads, without user and password; undefined unless the client understands it. */
  readonly whereOf: (url: string) => string | undefined;
}

const SECRET = 'got something else (not shown: it may hold a password)';

/** Where the broker is: by its URL or by a client. @throws {TypeError} unless it is one of the two, and of sense */
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
 * Reads the variable of the URL, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE, QUEUE_PUBLISH_TIMEOUT and QUEUE_DEDUPE_WINDOW.
 * @throws {ConfigurationError} for one that is missing or malformed; it names the variable, and no password
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
    lease: readMilliseconds(env, 'QUEUE_LEASE', { least: LEAST_LEASE, most: LONGEST_TIMER }),
    publishTimeout: readMilliseconds(env, 'QUEUE_PUBLISH_TIMEOUT', { least: 1, most: LONGEST_TIMER }),
    dedupeWindow: readDedupeWindow(env),
  };
}

/** The shortest and the longest time that a broker may take to answer, in milliseconds. */
const LEAST_PATIENCE = 1000;
const MOST_PATIENCE = 10_000;

const LEAST_PAUSE = 50;
const MOST_PAUSE = 5000;

/** How long it may take to make a connection, with all that has to be there before it is used, in milliseconds. */
export function connectTimeoutFor(lease: number): number {
  return Math.min(MOST_PATIENCE, Math.max(LEAST_PATIENCE, lease / 3));
}

/** The longest pause between two attempts to reach a broker, in milliseconds: after an outage, a consumer has to be back before its lease expires. */
export function maxBackoffFor(lease: number): number {
  return Math.min(MOST_PAUSE, Math.max(LEAST_PAUSE, lease / 3));
}

/**
 * How long a broker may take to answer a request before its connection counts as lost, in milliseconds. A third of the lease, or leases would end unnoticed; and a
 * third of the time that a publish has, so that after one silent death the publish still has time to connect again and to be sent again.
 */
export function responseTimeoutFor({
  lease,
  publishTimeout,
}: Pick<CheckedDriverOptions, 'lease' | 'publishTimeout'>): number {
  return connectTimeoutFor(Math.min(lease, publishTimeout));
}

/** @throws {URIError} for a percent sign that stands for nothing */
export function decodeAll(...parts: readonly string[]): void {
  parts.forEach(decodeURIComponent);
}
