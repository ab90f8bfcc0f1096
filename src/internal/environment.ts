import type { ConsumerGroup } from '../backend.js';
import { ConfigurationError } from '../errors.js';
import { kindOf } from './describe.js';
import { isName, type MillisecondsRange, NAME } from './options.js';

/** Environment variables. An empty value counts as not set. */
export type Env = Readonly<Record<string, string | undefined>>;

/** The default name of a queue. */
export const DEFAULT_NAME = 'default';

/** The environment of the process. Empty in a browser. */
export function processEnv(): Env {
  return (globalThis as { process?: { env?: Env } }).process?.env ?? {};
}

/**
 * Reads a variable. Undefined: it is not set.
 * @throws {ConfigurationError} if it is not a string. The value may be secret and is not shown.
 */
export function readVariable(env: Env, variable: string): string | undefined {
  const value: unknown = env[variable];
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw new ConfigurationError(`Expected ${variable} to be a string or not set, got ${kindOf(value)}`);
}

/**
 * Describes the value of a variable in an error message. Shows only a short token: a longer text
 * may be a URL with a password.
 */
export function describeVariable(value: string): string {
  return /^[\w.:+-]{1,32}$/.test(value) ? JSON.stringify(value) : `a text of ${value.length} characters`;
}

/** Whether a text is a URL with credentials. As a name, it would end up in logs. */
export function hasCredentials(text: string): boolean {
  return /:\/\/.*@/s.test(text);
}

/**
 * Reads QUEUE_NAME.
 * @throws {ConfigurationError} unless it is a name or not set
 */
export function readQueueName(env: Env): string {
  const name = readVariable(env, 'QUEUE_NAME');
  if (name === undefined) return DEFAULT_NAME;
  if (isName(name) && !hasCredentials(name)) return name;
  throw new ConfigurationError(
    `Expected QUEUE_NAME to be ${NAME}, not a URL with credentials, got ${describeVariable(name)}`,
  );
}

/**
 * Reads QUEUE_GROUPS, a list separated by commas.
 * @throws {ConfigurationError} unless each group is a name, or it is not set
 */
export function readGroups(env: Env): ConsumerGroup[] | undefined {
  const list = readVariable(env, 'QUEUE_GROUPS');
  const groups = list?.split(',').map((group) => group.trim());
  // Checks the whole list: a password may contain a comma.
  if (list === undefined || (groups?.every(isName) && !hasCredentials(list))) return groups;
  throw new ConfigurationError(
    `Expected QUEUE_GROUPS to hold ${NAME} for each group, separated by commas, not a URL with credentials, got ${describeVariable(list)}`,
  );
}

/**
 * Reads a variable in milliseconds.
 * @throws {ConfigurationError} unless it is an integer in the range, or not set
 */
export function readMilliseconds(
  env: Env,
  variable: string,
  { least, most }: Required<MillisecondsRange>,
): number | undefined {
  const value = readVariable(env, variable);
  if (value === undefined) return undefined;
  const milliseconds = Number(value);
  if (/^\d+$/.test(value) && milliseconds >= least && milliseconds <= most) return milliseconds;
  throw new ConfigurationError(
    `Expected ${variable} to be a whole number of milliseconds, from ${least} to ${most}, got ${describeVariable(value)}`,
  );
}

/**
 * Reads a variable that is `true` or `false`.
 * @throws {ConfigurationError} unless it is one of them, or not set
 */
export function readFlag(env: Env, variable: string): boolean | undefined {
  const value = readVariable(env, variable);
  if (value === undefined || value === 'true' || value === 'false')
    return value === undefined ? undefined : value === 'true';
  throw new ConfigurationError(`Expected ${variable} to be true or false, got ${describeVariable(value)}`);
}
