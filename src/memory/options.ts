import { asyncScheduler, type SchedulerLike } from 'rxjs';
import type { ConsumerGroup } from '../backend.js';
import { ConfigurationError } from '../errors.js';
import { checkDedupeWindow, readDedupeWindow } from '../internal/dedupe-window.js';
import {
  DEFAULT_NAME,
  describeVariable,
  type Env,
  readGroups,
  readQueueName,
  readVariable,
} from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkChoice, checkCount, checkMethods, checkName, checkNames, checkOptions } from '../internal/options.js';

const POLICIES = ['wait', 'error', 'drop-oldest', 'drop-newest'] as const;
const VALIDATIONS = ['shape', 'json'] as const;

/** What a full queue does with one more message. */
export type MemoryOverflow = (typeof POLICIES)[number];

/** How `publish` validates a payload. */
export type MemoryValidation = (typeof VALIDATIONS)[number];

export interface MemoryBackendOptions {
  /** The name of the queue: 1 to 255 bytes of UTF-8. Default: `default`. */
  readonly name?: string | undefined;
  /**
   * How many messages may wait, including delayed ones: an integer >= 1, or Infinity. Default:
   * Infinity.
   */
  readonly capacity?: number | undefined;
  /**
   * What a full queue does. `'wait'`: `publish` waits for room, first come first served. `'error'`:
   * it rejects with `QueueOverflowError`. `'drop-oldest'`: the message that has waited longest is
   * dropped. `'drop-newest'`: `publish` resolves, and the new message is dropped. Default:
   * `'wait'`.
   */
  readonly overflow?: MemoryOverflow | undefined;
  /**
   * `'ignored'`: any group is accepted and ignored, and all consumers compete. A list: the declared
   * groups, each of which gets every message, as on a broker. Default: `'ignored'`.
   */
  readonly groups?: 'ignored' | readonly ConsumerGroup[] | undefined;
  /**
   * `'shape'`: a payload must be a plain object. `'json'`: JSON must not change it either, and
   * consumers get a copy, as from a broker. Default: `'shape'`.
   */
  readonly validate?: MemoryValidation | undefined;
  /**
   * How long the `id` of a published message is remembered, in milliseconds, from 100 to
   * 2,147,483,647. A message with the same `id` is not stored again within that time, also if an
   * overflow policy has dropped the first one since. Default: 120,000.
   */
  readonly dedupeWindow?: number | undefined;
  /**
   * Supplies the time and runs all timers. Default: RxJS's `asyncScheduler`, whose clock is not read
   * for each message of a burst: if the program publishes many messages within a millisecond and
   * then blocks the event loop, up to 31 messages get a `publishedAt` from before that. A
   * `TestScheduler` gives virtual time.
   */
  readonly scheduler?: SchedulerLike | undefined;
  /** Receives warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

export interface CheckedMemoryOptions {
  readonly name: string;
  readonly capacity: number;
  readonly overflow: MemoryOverflow;
  readonly groups: 'ignored' | readonly ConsumerGroup[];
  readonly validate: MemoryValidation;
  readonly dedupeWindow: number;
  readonly scheduler: SchedulerLike;
  readonly logger: Logger;
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkMemoryOptions(options: MemoryBackendOptions | undefined): CheckedMemoryOptions {
  const {
    name = DEFAULT_NAME,
    capacity = Number.POSITIVE_INFINITY,
    overflow = 'wait',
    groups = 'ignored',
    validate = 'shape',
    dedupeWindow,
    scheduler = asyncScheduler,
    logger = defaultLogger,
  } = checkOptions(options);
  return {
    name: checkName('name', name),
    capacity: checkCount('capacity', capacity, { infinity: true }),
    overflow: checkChoice('overflow', overflow, POLICIES),
    groups: checkGroups(groups),
    validate: checkChoice('validate', validate, VALIDATIONS),
    dedupeWindow: checkDedupeWindow(dedupeWindow),
    scheduler: checkMethods('scheduler', scheduler, ['now', 'schedule']),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
}

/** Reads QUEUE_NAME, QUEUE_CAPACITY, QUEUE_GROUPS and QUEUE_DEDUPE_WINDOW. */
export function readMemoryEnv(env: Env): Pick<CheckedMemoryOptions, 'name' | 'capacity' | 'groups' | 'dedupeWindow'> {
  const capacity = readVariable(env, 'QUEUE_CAPACITY');
  return {
    name: readQueueName(env),
    capacity: capacity !== undefined ? readCapacity(capacity) : Number.POSITIVE_INFINITY,
    groups: readGroups(env) ?? 'ignored',
    dedupeWindow: checkDedupeWindow(readDedupeWindow(env)),
  };
}

function checkGroups(groups: 'ignored' | readonly ConsumerGroup[]): 'ignored' | readonly ConsumerGroup[] {
  return groups === 'ignored'
    ? groups
    : checkNames('groups', groups, "'ignored' or a list of group names that is not empty");
}

function readCapacity(value: string): number {
  const capacity = Number(value);
  if (value === 'Infinity' || (/^\d+$/.test(value) && capacity >= 1 && Number.isSafeInteger(capacity))) return capacity;
  throw new ConfigurationError(
    `Expected QUEUE_CAPACITY to be a positive integer or Infinity, got ${describeVariable(value)}`,
  );
}
