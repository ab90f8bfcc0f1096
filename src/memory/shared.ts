import { type Env, processEnv } from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkMethods } from '../internal/options.js';
import { processWide } from '../internal/process-wide.js';
import { type MemoryBackendOptions, readMemoryEnv } from './options.js';

interface Shared {
  readonly backend: { readonly closed: boolean };
  readonly wish: ReturnType<typeof readMemoryEnv>;
}

/** The queues that were asked for by the environment, by name. One for all copies of this library in the process. */
const queues = () => processWide('memory', () => new Map<string, Shared>());

/** The queue that the environment names: the one that is there, or a new one. */
export function shareByName<Backend extends { readonly closed: boolean }>(
  env: Env = processEnv(),
  given: Logger = defaultLogger,
  create: (options: MemoryBackendOptions) => Backend,
): Backend {
  const logger = shieldLogger(checkMethods('logger', given, ['debug', 'warn', 'error']));
  const wish = readMemoryEnv(env);
  logger.warn(
    `Queue "${wish.name}" is a MemoryBackend, which is for development and testing: its messages are visible in this process only and are lost ` +
      'when it exits. In production set QUEUE_BACKEND.',
  );
  const existing = queues().get(wish.name);
  if (existing !== undefined && !existing.backend.closed) {
    warnOfDifferences(existing.wish, wish, logger);
    return existing.backend as Backend;
  }
  const backend = create({ ...wish, validate: 'json', logger });
  queues().set(wish.name, { backend, wish });
  return backend;
}

function warnOfDifferences(first: Shared['wish'], wish: Shared['wish'], logger: Logger): void {
  const different = (
    [
      ['capacity', 'QUEUE_CAPACITY'],
      ['groups', 'QUEUE_GROUPS'],
    ] as const
  ).filter(([option]) => String(first[option]) !== String(wish[option]));
  for (const [option, variable] of different) {
    logger.warn(
      `Queue "${wish.name}" exists already, with ${option} ${first[option]}: ${variable}, which asks for ${wish[option]}, changes nothing`,
    );
  }
}
