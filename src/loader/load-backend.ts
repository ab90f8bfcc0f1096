import type { AnyEvents, ConsumerGroup, EventMap, QueueBackend } from '../backend.js';
import { describe } from '../internal/describe.js';
import { type Env, processEnv } from '../internal/environment.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkFlag, checkMethods, checkName, checkNames, checkOptions } from '../internal/options.js';
import { readBackendName } from './backend-name.js';
import { importBackend, loadingFailed } from './backend-package.js';
import { importModule, missingModule } from './import-module.js';
import { clientNotFound } from './not-found.js';
import { type Provider, providers } from './providers.js';
import { registeredNames, registration } from './registry.js';

const FALLBACK = 'memory';

/** The methods that `loadBackend` checks. Only the contract suite can test the rest. */
const METHODS = ['publish', 'consume', 'deliveries', 'stats', 'close'] as const;

export interface LoadBackendOptions {
  /**
   * The environment variables: `QUEUE_BACKEND`, and those of the backend.
   * @default process.env
   */
  readonly env?: Env | undefined;
  /**
   * The name of the queue. With a name, `QUEUE_GROUPS` is ignored: it declares the groups of the
   * queue `QUEUE_NAME`.
   * @default QUEUE_NAME
   */
  readonly name?: string | undefined;
  /**
   * The groups of the queue. A name must not contain a comma, nor white space at either end.
   * @default QUEUE_GROUPS, or no groups with a `name`
   */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /**
   * Whether the backend may create the queue and its declared groups. `memory` always does.
   * @default QUEUE_CREATE, or true
   */
  readonly create?: boolean | undefined;
  /**
   * Gets the warnings, also those of a built-in backend.
   * @default the console
   */
  readonly logger?: Logger | undefined;
}

/**
 * Loads the backend that the environment names.
 *
 * 1. If `QUEUE_BACKEND` is set, the backend with that name: a registered one, a built-in one, or
 *    the package `sluice-backend-NAME`.
 * 2. If it is not set or empty, the first registered backend that is not named `memory`.
 * 3. If no backend is registered, `memory`, with a warning.
 *
 * A package `sluice-backend-NAME` calls `registerBackend(NAME, …)` when it is imported. Or it
 * exports `fromEnv(env)`, a default export with that method, or one class with that static method.
 * The package may be a dependency of this library or of the application.
 *
 * *Gotchas*: nothing checks `Events` at run time. A bundler does not follow a backend that is
 * loaded by name, other than `memory`: keep `sluice` external, or call the constructor of the
 * backend.
 *
 * All errors are rejections:
 *
 * @throws {ConfigurationError} if `QUEUE_BACKEND` is not a valid name, or if a variable of the
 * backend is missing or malformed
 * @throws {BackendNotFoundError} if the backend or its client is not installed. The message
 * contains the install commands.
 * @throws {SluiceError} if the backend is installed but fails to load. `cause` is its error.
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 * @throws {TypeError} if the loaded object is not a backend
 *
 * @example
 * ```ts
 * // QUEUE_BACKEND=redis REDIS_URL=redis://localhost QUEUE_NAME=orders QUEUE_GROUPS=billing,audit
 * const orders = await loadBackend<ShopEvents>();
 * const failed = await loadBackend<ShopEvents>({ name: 'orders.failed' }); // Dead letters: a second queue, without these groups.
 * const billing = new AsyncLoopConsumer(orders, { group: 'billing', deadLetter: failed });
 * ```
 */
export async function loadBackend<Events extends EventMap<Events> = AnyEvents>(
  options?: LoadBackendOptions,
): Promise<QueueBackend<Events>> {
  const { env: variables = processEnv(), name, groups, create, logger: given = defaultLogger } = checkOptions(options);
  const logger = shieldLogger(checkMethods('logger', given, ['debug', 'warn', 'error']));
  const overridden = override(checkOptions(variables, 'env'), name, groups);
  const env = create === undefined ? overridden : { ...overridden, QUEUE_CREATE: String(checkFlag('create', create)) };
  const kind = readBackendName(env) ?? chooseBackend(logger);
  const backend = await makeBackend(kind, env, logger);
  return checkBackend(kind, backend) as QueueBackend<Events>;
}

/** Returns the environment with the given name and groups. */
function override(env: Env, name: string | undefined, groups: readonly ConsumerGroup[] | undefined): Env {
  if (name === undefined) return groups === undefined ? env : { ...env, QUEUE_GROUPS: listOf(groups) };
  // A dead-letter queue must not get the groups of its main queue: no consumer would read them.
  const { QUEUE_GROUPS: _, ...others } = env;
  const named = { ...others, QUEUE_NAME: checkName('name', name) };
  return groups === undefined ? named : { ...named, QUEUE_GROUPS: listOf(groups) };
}

/**
 * Formats groups for `QUEUE_GROUPS`.
 *
 * @throws {TypeError | RangeError} if a name is invalid, or if the list cannot represent it
 */
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

/** Chooses a backend if `QUEUE_BACKEND` is not set. */
function chooseBackend(logger: Logger): string {
  const [first] = registeredNames().filter((name) => name !== FALLBACK);
  if (first !== undefined) {
    logger.debug(`QUEUE_BACKEND is not set: using "${first}", the first registered backend`);
    return first;
  }
  logger.warn(
    `QUEUE_BACKEND is not set and no backend is registered: using "${FALLBACK}". ` +
      `Set QUEUE_BACKEND to one of ${[...providers.keys()].join(', ')}, or to the NAME of an installed package sluice-backend-NAME.`,
  );
  return FALLBACK;
}

async function makeBackend(name: string, env: Env, logger: Logger): Promise<unknown> {
  const provider = providers.get(name);
  const registered = registration(name);
  if (registered !== undefined) {
    if (provider !== undefined) logger.warn(`The registered backend "${name}" replaces the built-in one`);
    if (registered.count > 1) {
      logger.warn(
        `The backend "${name}" was registered ${registered.count} times with different factories: using the last one`,
      );
    }
    return registered.factory(env);
  }
  if (provider !== undefined) return makeBuiltIn(name, provider, env, logger);
  const factory = await importBackend(name);
  return factory(env);
}

async function makeBuiltIn(name: string, provider: Provider, env: Env, logger: Logger): Promise<unknown> {
  const chosen = provider.clientFor?.(env);
  const clients = chosen === undefined ? provider.clients : [...provider.clients, chosen];
  const backend = await load(provider, chosen).catch((error: unknown) => {
    const missing = missingModule(error);
    if (missing !== undefined && clients.includes(missing)) throw clientNotFound(name, clients, error);
    const isBundled = missing === 'sluice' || missing?.startsWith('sluice/');
    const hint = isBundled
      ? ' from within a bundle. Keep the package sluice external, or make the backend without the loader'
      : '';
    throw loadingFailed(`The backend "${name}" could not be loaded${hint}`, error);
  });
  return backend.fromEnv(env, { logger });
}

/** Loads a backend after the client that it would otherwise miss only when it connects. */
async function load(provider: Provider, client: string | undefined): ReturnType<Provider['load']> {
  if (client !== undefined) await importModule(client);
  return provider.load();
}

/** @throws {TypeError} if a method of the contract is missing */
function checkBackend(name: string, value: unknown): unknown {
  const methods = value as Partial<Record<string, unknown>> | null | undefined;
  const missing = METHODS.find((method) => typeof methods?.[method] !== 'function');
  if (missing === undefined) return value;
  throw new TypeError(`Expected the backend "${name}" to have a method \`${missing}\`, got ${describe(value)}`);
}
