import { asyncScheduler, type SchedulerLike } from 'rxjs';
import type { ConsumerGroup } from '../backend.js';
import { ConfigurationError } from '../errors.js';
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

/** How closely a payload is looked at. */
export type MemoryValidation = (typeof VALIDATIONS)[number];

export interface MemoryBackendOptions {
  /** The name of the queue: 1 to 255 bytes of UTF-8. Default: `default`. */
  readonly name?: string | undefined;
  /** How many messages may wait, delayed ones included: a whole number from 1 up, or Infinity. Default: Infinity. */
  readonly capacity?: number | undefined;
  /**
   * What a full queue does. `'wait'`: `publish` waits for room, first come first served. `'error'`: it rejects with `QueueOverflowError`.
   * `'drop-oldest'`: what has waited longest goes. `'drop-newest'`: `publish` resolves, and the message is not taken. Default: `'wait'`.
   */
  readonly overflow?: MemoryOverflow | undefined;
  /**
   * `'ignored'`: a group is accepted and means nothing, all consumers compete. A list: the only groups that there are, each of which gets every message,
   * as on a broker. Default: `'ignored'`.
   */
  readonly groups?: 'ignored' | readonly ConsumerGroup[] | undefined;
  /**
   * `'shape'`: a payload has to be a plain object. `'json'`: it also has to survive JSON unchanged, and consumers get a copy, as from a broker.
   * Default: `'shape'`.
   */
  readonly validate?: MemoryValidation | undefined;
  /** Tells the time and runs every timer. Default: RxJS's `asyncScheduler`; a `TestScheduler` gives virtual time. */
  readonly scheduler?: SchedulerLike | undefined;
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

export interface CheckedMemoryOptions {
  readonly name: string;
  readonly capacity: number;
  readonly overflow: MemoryOverflow;
  readonly groups: 'ignored' | readonly ConsumerGroup[];
  readonly validate: MemoryValidation;
  readonly scheduler: SchedulerLike;
  readonly logger: Logger;
}

/** @throws {TypeError | RangeError} for an option without sense; it names the option */
export function checkMemoryOptions(options: MemoryBackendOptions | undefined): CheckedMemoryOptions {
  const {
    name = DEFAULT_NAME,
    capacity = Number.POSITIVE_INFINITY,
    overflow = 'wait',
    groups = 'ignored',
    validate = 'shape',
    scheduler = asyncScheduler,
    logger = defaultLogger,
  } = checkOptions(options);
  return {
    name: checkName('name', name),
    capacity: checkCount('capacity', capacity, { infinity: true }),
    overflow: checkChoice('overflow', overflow, POLICIES),
    groups: checkGroups(groups),
    validate: checkChoice('validate', validate, VALIDATIONS),
    scheduler: checkMethods('scheduler', scheduler, ['now', 'schedule']),
    logger: shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
  };
}

/** Reads QUEUE_NAME, QUEUE_CAPACITY and QUEUE_GROUPS. */
export function readMemoryEnv(env: Env): Pick<CheckedMemoryOptions, 'name' | 'capacity' | 'groups'> {
  const capacity = readVariable(env, 'QUEUE_CAPACITY');
  return {
    name: readQueueName(env),
    capacity: capacity !== undefined ? readCapacity(capacity) : Number.POSITIVE_INFINITY,
    groups: readGroups(env) ?? 'ignored',
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
