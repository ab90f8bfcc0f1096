import { ConfigurationError } from '../errors.js';
import { describe } from '../internal/describe.js';
import type { Env } from '../internal/environment.js';

const BACKEND_NAME = 'the name of a backend, of the characters a-z, 0-9 and -';

/** The name becomes part of a package name, so it must not contain a path or a URL. */
function isBackendName(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z0-9-]+$/.test(value);
}

/** @throws {TypeError | RangeError} if `name` is not a valid name of a backend */
export function checkBackendName(name: unknown): string {
  if (isBackendName(name)) return name;
  const message = `Expected \`name\` to be ${BACKEND_NAME}, got ${describe(name)}`;
  throw typeof name === 'string' ? new RangeError(message) : new TypeError(message);
}

/**
 * Reads `QUEUE_BACKEND`. An empty value counts as not set.
 *
 * @throws {ConfigurationError} if it is not a valid name of a backend
 */
export function readBackendName({ QUEUE_BACKEND: name }: Env): string | undefined {
  if (name === undefined || name === '') return undefined;
  if (isBackendName(name)) return name;
  // The value may be the URL of a broker, with its password.
  const wrong =
    typeof name === 'string' ? `a value with ${describe(/[^a-z0-9-]/u.exec(name)?.[0])} in it` : describe(name);
  throw new ConfigurationError(`Expected QUEUE_BACKEND to be ${BACKEND_NAME}, such as memory, got ${wrong}`);
}
