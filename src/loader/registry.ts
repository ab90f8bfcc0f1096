import type { QueueBackend } from '../backend.js';
import type { Env } from '../internal/environment.js';
import { checkFunction } from '../internal/options.js';
import { processWide } from '../internal/process-wide.js';
import { checkBackendName } from './backend-name.js';

/** Creates a backend from the environment. `loadBackend` rejects with the error that it throws. */
export type BackendFactory = (env: Env) => QueueBackend | Promise<QueueBackend>;

interface Registration {
  readonly factory: BackendFactory;
  /** How many different factories were registered. The last one is used. */
  readonly count: number;
}

/**
 * The registered backends, in the order of their first registration. All copies of this library in
 * the process share it.
 */
const registry = () => processWide('backends', () => new Map<string, Registration>());

/**
 * Registers a backend for `loadBackend`, under a name for `QUEUE_BACKEND`.
 *
 * The whole process shares the registration, also across the ESM and the CommonJS build. If
 * `QUEUE_BACKEND` is not set, `loadBackend` loads the first registered backend.
 *
 * *Gotchas*: a second factory for a name replaces the first one, and the name keeps its place. A
 * factory with the name of a built-in backend replaces that backend. In both cases, `loadBackend`
 * logs a warning.
 *
 * @param name may contain the characters a-z, 0-9 and -
 * @throws {TypeError | RangeError} if the name is invalid, or the factory is not a function
 *
 * @example
 * ```ts
 * registerBackend('kafka', (env) => KafkaBackend.connect(env.KAFKA_URL));
 * const queue = await loadBackend({ env: { QUEUE_BACKEND: 'kafka', KAFKA_URL: 'kafka://localhost' } });
 * ```
 */
export function registerBackend(name: string, factory: BackendFactory): void {
  checkBackendName(name);
  checkFunction('factory', factory);
  const before = registry().get(name);
  if (before?.factory !== factory) registry().set(name, { factory, count: (before?.count ?? 0) + 1 });
}

export function registration(name: string): Registration | undefined {
  return registry().get(name);
}

/** Returns the names in the order of their first registration. */
export function registeredNames(): string[] {
  return [...registry().keys()];
}
