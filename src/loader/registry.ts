import type { QueueBackend } from '../backend.js';
import type { Env } from '../internal/environment.js';
import { checkFunction } from '../internal/options.js';
import { processWide } from '../internal/process-wide.js';
import { checkBackendName } from './backend-name.js';

/** Makes a backend out of the variables of the environment. What it throws, `loadBackend` rejects with. */
export type BackendFactory = (env: Env) => QueueBackend | Promise<QueueBackend>;

/** What is known of a name that was registered. */
interface Registration {
  readonly factory: BackendFactory;
  /** How many factories were registered, of which only the last counts. */
  readonly count: number;
}

/** The backends that were registered, in the order in which their names first were. One for all copies of this library in the process. */
const registry = () => processWide('backends', () => new Map<string, Registration>());

/**
 * Makes a backend known to `loadBackend`, by a name that `QUEUE_BACKEND` can hold. It counts for the whole process, also across the ESM and the CommonJS build.
 * Where `QUEUE_BACKEND` is not set, the backend that was registered first is the one that is loaded.
 *
 * *Gotchas*: a name that is registered again, with another factory, keeps its place and gets the new factory; what is registered by the name of a backend
 * that is built in stands in for that one. Either way `loadBackend` logs a warning when it uses it.
 *
 * @param name of the characters a-z, 0-9 and -
 * @throws {TypeError | RangeError} for a name that is none, or a factory that is not a function
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

/** In the order in which they were registered. */
export function registeredNames(): string[] {
  return [...registry().keys()];
}
