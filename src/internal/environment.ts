import type { ConsumerGroup } from '../backend.js';
import { ConfigurationError } from '../errors.js';
import { kindOf } from './describe.js';
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

/** Describes the value of a variable in an error message. Only a short token is shown: a longer text may be a URL with a password. */
export function describeVariable(value: string): string {
  return /^[\w.:+-]{1,32}$/.test(value) ? JSON.stringify(value) : `a text of ${value.length} characters`;
}

/** Whether a text is a URL with a user or a password, which ends up in logs if it is taken for a name. */
export function hasCredentials(text: string): boolean {
  return /:\/\/.*@/s.test(text);
}

/** QUEUE_NAME. @throws {ConfigurationError} unless it is a name or not set */
export function readQueueName(env: Env): string {
  const name = readVariable(env, 'QUEUE_NAME');
  if (name === undefined) return DEFAULT_NAME;
  if (isName(name) && !hasCredentials(name)) return name;
  throw new ConfigurationError(
    `Expected QUEUE_NAME to be ${NAME}, not a URL with credentials, got ${describeVariable(name)}`,
  );
}

/** QUEUE_GROUPS, a list with commas. @throws {ConfigurationError} unless each is a name, or it is not set */
export function readGroups(env: Env): ConsumerGroup[] | undefined {
  const list = readVariable(env, 'QUEUE_GROUPS');
  const groups = list?.split(',').map((group) => group.trim());
  // The list as a whole: a password may have a comma in it.
  if (list === undefined || (groups?.every(isName) && !hasCredentials(list))) return groups;
  throw new ConfigurationError(
    `Expected QUEUE_GROUPS to hold ${NAME} for each group, separated by commas, not a URL with credentials, got ${describeVariable(list)}`,
  );
}

/** A variable that holds a number of milliseconds. @throws {ConfigurationError} unless it is a whole number in the range, or not set */
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
