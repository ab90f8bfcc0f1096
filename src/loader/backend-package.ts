import { SluiceError } from '../errors.js';
import { describeError } from '../internal/describe.js';
import { resolveFromApplication } from './application.js';
import { hasNoEntry, importModule, missingModule } from './import-module.js';
import { backendNotFound } from './not-found.js';
import { engineByScheme, providers } from './providers.js';
import { type BackendFactory, registeredNames, registration } from './registry.js';

/**
 * Imports the package of a backend, `sluice-backend-NAME`.
 *
 * @throws {BackendNotFoundError} if the package is not installed
 * @throws {SluiceError} if the package cannot be loaded. `cause` is the error of the package. A
 * `SluiceError` of the package is thrown as it is.
 * @throws {TypeError} if the package neither registers nor exports a backend
 */
export async function importBackend(name: string): Promise<BackendFactory> {
  const packageName = `sluice-backend-${name}`;
  const module = await importInstalled(name, packageName);
  const factory = registration(name)?.factory ?? factoryOf(module);
  if (factory !== undefined) return factory;
  throw new TypeError(
    `Expected the package ${packageName} to register a backend "${name}", or to export \`fromEnv\`, a default with \`fromEnv\` or one class with a static ` +
      `\`fromEnv\`, got ${describeExports(module)}`,
  );
}

async function importInstalled(name: string, packageName: string): Promise<unknown> {
  try {
    return await importFromAnywhere(packageName);
  } catch (error) {
    if (missingModule(error) === packageName) {
      throw backendNotFound(
        name,
        packageName,
        { builtIn: [...providers.keys()], registered: registeredNames(), byScheme: engineByScheme(name) },
        error,
      );
    }
    throw loadingFailed(`The package ${packageName} could not be loaded`, error);
  }
}

/**
 * Imports a package that this library can see, or one that the application can see. The second
 * attempt also finds a package that can only be required.
 */
async function importFromAnywhere(packageName: string): Promise<unknown> {
  try {
    return await importModule(packageName);
  } catch (error) {
    const entry =
      missingModule(error) === packageName || hasNoEntry(error) ? await resolveFromApplication(packageName) : undefined;
    if (entry === undefined) throw error;
    return importModule(entry);
  }
}

/** Wraps an error of loading. A `SluiceError` already says what to do. */
export function loadingFailed(what: string, error: unknown): SluiceError {
  return SluiceError.is(error) ? error : new SluiceError(`${what}: ${describeError(error)}`, { cause: error });
}

type WithFromEnv = { fromEnv: BackendFactory };

function factoryOf(module: unknown): BackendFactory | undefined {
  const exported = defaultsOf(module);
  const classes = exported
    .flatMap((each) => Object.values(each))
    .filter((value) => typeof value === 'function' && hasFromEnv(value));
  const maker = exported.find(hasFromEnv) ?? (new Set(classes).size === 1 ? (classes[0] as WithFromEnv) : undefined);
  return maker && ((env) => maker.fromEnv(env));
}

/**
 * Returns a module, its default export, and the default of that: an imported CommonJS build nests
 * them.
 */
function defaultsOf(module: unknown): object[] {
  const exported: object[] = [];
  for (let next = module; exported.length < 3 && isHolder(next); next = (next as { default?: unknown }).default)
    exported.push(next);
  return exported;
}

function isHolder(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

function hasFromEnv(value: object): value is WithFromEnv {
  return typeof (value as Partial<WithFromEnv>).fromEnv === 'function';
}

function describeExports(module: unknown): string {
  const names = isHolder(module) ? Object.keys(module) : [];
  return names.length === 0 ? 'no exports' : `the exports ${names.join(', ')}`;
}
