import type { AnyEvents, ConsumerGroup, EventMap, QueueBackend } from '../backend.js';
import { describe } from '../internal/describe.js';
import { type Env, processEnv } from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkMethods, checkName, checkNames, checkOptions } from '../internal/options.js';
import { readBackendName } from './backend-name.js';
import { importBackend, loadingFailed } from './backend-package.js';
import { missingModule } from './import-module.js';
import { clientNotFound } from './not-found.js';
import { type Provider, providers } from './providers.js';
import { registeredNames, registration } from './registry.js';

const FALLBACK = 'memory';

/** What a backend has to have; the rest of the contract only a test can see. */
const METHODS = ['publish', 'consume', 'deliveries', 'stats', 'close'] as const;

export interface LoadBackendOptions {
  /** The variables to read: `QUEUE_BACKEND`, and those of the backend. Default: `process.env`. */
  readonly env?: Env | undefined;
  /**
   * The name of the queue, instead of `QUEUE_NAME`. `QUEUE_GROUPS` is ignored then: it declares the groups of the queue that `QUEUE_NAME` names.
   * Default: what `QUEUE_NAME` says.
   */
  readonly name?: string | undefined;
  /**
   * The groups of the queue, instead of `QUEUE_GROUPS`: names without a comma, and without white space at either end. Default: with a `name` none, otherwise
   * what `QUEUE_GROUPS` says.
   */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /** Where warnings go, also those of a backend that is built in. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * The backend that the environment asks for.
 *
 * 1. `QUEUE_BACKEND` is set: that one. It was registered, or is built in, or comes from the package `sluice-backend-NAME`.
 * 2. It is not set: the backend that was registered first, other than by the name `memory`.
 * 3. None was registered: `memory`, with a warning.
 *
 * An empty `QUEUE_BACKEND` counts as not set. A package `sluice-backend-NAME` calls `registerBackend(NAME, …)` when it is imported, or exports
 * `fromEnv(env)`, a default that has it, or one class that has it as a static method. It is looked for from this library and from the application.
 *
 * *Gotchas*: `Events` is taken on trust. A bundler does not follow the backends that are loaded by name, other than `memory`: keep `sluice` external, or make
 * the backend yourself.
 *
 * @throws {ConfigurationError} (a rejection, as all of these) for a `QUEUE_BACKEND` that is no name, before anything is imported; from a backend, for a
 * variable that is missing or malformed
 * @throws {BackendNotFoundError} when there is no such backend, or its client is not installed; the message has the commands that install it
 * @throws {SluiceError} when a backend is installed but could not be loaded; what it threw is in `cause`
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 * @throws {TypeError} when what was loaded is not a backend
 *
 * @example
 * ```ts
 * // QUEUE_BACKEND=redis REDIS_URL=redis://localhost QUEUE_NAME=orders QUEUE_GROUPS=billing,audit
 * const orders = await loadBackend<ShopEvents>();
 * const failed = await loadBackend<ShopEvents>({ name: 'orders.failed' }); // For dead letters: a second queue on the same server, without these groups.
 * const billing = new AsyncLoopConsumer(orders, { group: 'billing', deadLetter: failed });
 * ```
 */
export async function loadBackend<Events extends EventMap<Events> = AnyEvents>(
  options?: LoadBackendOptions,
): Promise<QueueBackend<Events>> {
  const { env: variables = processEnv(), name, groups, logger: given = defaultLogger } = checkOptions(options);
  const logger = shieldLogger(checkMethods('logger', given, ['debug', 'warn', 'error']));
  const env = override(checkOptions(variables, 'env'), name, groups);
  const kind = readBackendName(env) ?? chooseBackend(logger);
  const backend = await makeBackend(kind, env, logger);
  return checkBackend(kind, backend) as QueueBackend<Events>;
}

/** Returns the environment with the given name and groups. Built-in and registered backends read it. */
function override(env: Env, name: string | undefined, groups: readonly ConsumerGroup[] | undefined): Env {
  if (name === undefined) return groups === undefined ? env : { ...env, QUEUE_GROUPS: listOf(groups) };
  // A dead-letter queue must not get the groups of its main queue: no consumer would read them.
  const { QUEUE_GROUPS: _, ...others } = env;
  const named = { ...others, QUEUE_NAME: checkName('name', name) };
  return groups === undefined ? named : { ...named, QUEUE_GROUPS: listOf(groups) };
}

/** Groups as QUEUE_GROUPS holds them. @throws {TypeError | RangeError} for what is no name, or what a list with commas cannot hold as it is */
function listOf(groups: readonly ConsumerGroup[]): string {
  const names = checkNames('groups', groups);
  for (const [index, group] of groups.entries()) checkListable(group, index);
  return names.join(',');
}

function checkListable(group: ConsumerGroup, index: number): void {
  if (!group.includes(',') && group === group.trim()) return;
  throw new RangeError(
    `Expected \`groups[${index}]\` to be a name without a comma, and without white space at either end, got ${describe(group)}. ` +
      "Such a group can be declared by the backend's own constructor only.",
  );
}

/** The name of the backend for an environment that names none. */
function chooseBackend(logger: Logger): string {
  const [first] = registeredNames().filter((name) => name !== FALLBACK);
  if (first !== undefined) {
    logger.debug(`QUEUE_BACKEND is not set: taking "${first}", the backend that was registered first`);
    return first;
  }
  logger.warn(
    `QUEUE_BACKEND is not set and no backend is registered: taking "${FALLBACK}". Set QUEUE_BACKEND to one of ${[...providers.keys()].join(', ')}, or to the ` +
      'NAME of an installed package sluice-backend-NAME.',
  );
  return FALLBACK;
}

async function makeBackend(name: string, env: Env, logger: Logger): Promise<unknown> {
  const provider = providers.get(name);
  const registered = registration(name);
  if (registered !== undefined) {
    if (provider !== undefined)
      logger.warn(
        `The backend "${name}" is built in, and one was registered by its name: taking the one that was registered`,
      );
    if (registered.count > 1) {
      logger.warn(
        `The backend "${name}" was registered ${registered.count} times, with different factories: the last one counts`,
      );
    }
    return registered.factory(env);
  }
  if (provider !== undefined) return makeBuiltIn(name, provider, env, logger);
  const factory = await importBackend(name);
  return factory(env);
}

async function makeBuiltIn(name: string, provider: Provider, env: Env, logger: Logger): Promise<unknown> {
  const backend = await provider.load().catch((error: unknown) => {
    const missing = missingModule(error);
    if (missing !== undefined && provider.clients.includes(missing))
      throw clientNotFound(name, provider.clients, error);
    const isBundled = missing === 'sluice' || missing?.startsWith('sluice/');
    const hint = isBundled
      ? ' from within a bundle. Keep the package sluice external, or make the backend without the loader'
      : '';
    throw loadingFailed(`The backend "${name}" could not be loaded${hint}`, error);
  });
  return backend.fromEnv(env, { logger });
}

/** @throws {TypeError} unless `value` looks like a backend */
function checkBackend(name: string, value: unknown): unknown {
  const methods = value as Partial<Record<string, unknown>> | null | undefined;
  const missing = METHODS.find((method) => typeof methods?.[method] !== 'function');
  if (missing === undefined) return value;
  throw new TypeError(
    `Expected what makes the backend "${name}" to give one, with a method \`${missing}\`, got ${describe(value)}`,
  );
}
