import { type Env, processEnv } from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkMethods } from '../internal/options.js';
import { processWide } from '../internal/process-wide.js';
import { type MemoryBackendOptions, readMemoryEnv } from './options.js';

interface Shared {
  readonly backend: { readonly closed: boolean };
  readonly requested: ReturnType<typeof readMemoryEnv>;
}

/**
 * The queues that `fromEnv` created, by name: one map for all copies of this library in the
 * process.
 */
const queues = () => processWide('memory', () => new Map<string, Shared>());

/** Returns the queue that the environment names, or creates it. */
export function shareByName<Backend extends { readonly closed: boolean }>(
  env: Env = processEnv(),
  given: Logger = defaultLogger,
  create: (options: MemoryBackendOptions) => Backend,
): Backend {
  const logger = shieldLogger(checkMethods('logger', given, ['debug', 'warn', 'error']));
  const requested = readMemoryEnv(env);
  logger.warn(
    `Queue "${requested.name}" is a MemoryBackend, which is for development and testing: its messages are visible only in this process ` +
      'and are lost when it exits. In production, set QUEUE_BACKEND.',
  );
  const existing = queues().get(requested.name);
  if (existing !== undefined && !existing.backend.closed) {
    warnOfDifferences(existing.requested, requested, logger);
    return existing.backend as Backend;
  }
  const backend = create({ ...requested, validate: 'json', logger });
  queues().set(requested.name, { backend, requested });
  return backend;
}

function warnOfDifferences(first: Shared['requested'], requested: Shared['requested'], logger: Logger): void {
  const different = (
    [
      ['capacity', 'QUEUE_CAPACITY'],
      ['groups', 'QUEUE_GROUPS'],
      ['dedupeWindow', 'QUEUE_DEDUPE_WINDOW'],
    ] as const
  ).filter(([option]) => String(first[option]) !== String(requested[option]));
  for (const [option, variable] of different) {
    logger.warn(
      `Queue "${requested.name}" already exists with ${option} ${first[option]}. ${variable} asks for ${requested[option]} and has no effect.`,
    );
  }
}
