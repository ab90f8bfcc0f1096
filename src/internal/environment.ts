import type { ConsumerGroup } from '../backend.js';
import { ConfigurationError } from '../errors.js';
import { describe } from './describe.js';
import { isName, type MillisecondsRange, NAME } from './options.js';

/** Variables of the environment. An empty one counts as one that is not set. */
export type Env = Readonly<Record<string, string | undefined>>;

/** The name of a queue for which none was given. */
export const DEFAULT_NAME = 'default';

/** The environment of the process; in a browser there is none. */
export function processEnv(): Env {
  return (globalThis as { process?: { env?: Env } }).process?.env ?? {};
}

/** A variable, or undefined where it is not set. @throws {ConfigurationError} for what is no string; it may be secret, and is not shown */
export function readVariable(env: Env, variable: string): string | undefined {
  const value: unknown = env[variable];
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw new ConfigurationError(`Expected ${variable} to be a string or not set, got ${kindOf(value)}`);
}

/** QUEUE_NAME. @throws {ConfigurationError} unless it is a name or not set */
export function readQueueName(env: Env): string {
  const name = readVariable(env, 'QUEUE_NAME');
  return name === undefined ? DEFAULT_NAME : readName('QUEUE_NAME', name);
}

/** QUEUE_GROUPS, a list with commas. @throws {ConfigurationError} unless each is a name, or it is not set */
export function readGroups(env: Env): ConsumerGroup[] | undefined {
  return readVariable(env, 'QUEUE_GROUPS')
    ?.split(',')
    .map((group) => readName('QUEUE_GROUPS', group.trim()));
}

/** A variable that holds a number of milliseconds. @throws {ConfigurationError} unless it is a whole number in the range, or not set */
export function readMilliseconds(env: Env, variable: string, { least, most }: Required<MillisecondsRange>): number | undefined {
  const value = readVariable(env, variable);
  if (value === undefined) return undefined;
  const milliseconds = Number(value);
  if (/^\d+$/.test(value) && milliseconds >= least && milliseconds <= most) return milliseconds;
  throw new ConfigurationError(`Expected ${variable} to be a whole number of milliseconds, from ${least} to ${most}, got ${describe(value)}`);
}

function readName(variable: string, value: string): string {
  if (isName(value)) return value;
  throw new ConfigurationError(`Expected ${variable} to hold ${NAME}${variable === 'QUEUE_GROUPS' ? ' for each group, separated by commas' : ''}`);
}

function kindOf(value: unknown): string {
  if (typeof value !== 'object') return `a ${typeof value}`;
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object';
}
