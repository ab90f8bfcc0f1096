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

/** QUEUE_NAME. @throws {ConfigurationError} unless it is a name or not set */
export function readQueueName({ QUEUE_NAME: name }: Env): string {
  return name ? readName('QUEUE_NAME', name) : DEFAULT_NAME;
}

/** QUEUE_GROUPS, a list with commas. @throws {ConfigurationError} unless each is a name, or it is not set */
export function readGroups({ QUEUE_GROUPS: groups }: Env): ConsumerGroup[] | undefined {
  return groups ? groups.split(',').map((group) => readName('QUEUE_GROUPS', group.trim())) : undefined;
}

/** A variable that holds a number of milliseconds. @throws {ConfigurationError} unless it is a whole number in the range, or not set */
export function readMilliseconds(env: Env, variable: string, { least, most }: Required<MillisecondsRange>): number | undefined {
  const value = env[variable];
  if (!value) return undefined;
  const milliseconds = Number(value);
  if (/^\d+$/.test(value) && milliseconds >= least && milliseconds <= most) return milliseconds;
  throw new ConfigurationError(`Expected ${variable} to be a whole number of milliseconds, from ${least} to ${most}, got ${describe(value)}`);
}

function readName(variable: string, value: string): string {
  if (isName(value)) return value;
  throw new ConfigurationError(`Expected ${variable} to hold ${NAME}${variable === 'QUEUE_GROUPS' ? ' for each group, separated by commas' : ''}`);
}
