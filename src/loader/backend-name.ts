import { ConfigurationError } from '../errors.js';
import { describe } from '../internal/describe.js';
import type { Env } from '../internal/environment.js';

const BACKEND_NAME = 'the name of a backend, of the characters a-z, 0-9 and -';

/** What a name goes on to be, a part of a package's name, leaves no room for a path or an address. */
function isBackendName(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z0-9-]+$/.test(value);
}

/** @throws {TypeError | RangeError} unless `name` is the name of a backend */
export function checkBackendName(name: unknown): string {
  if (isBackendName(name)) return name;
  const message = `Expected \`name\` to be ${BACKEND_NAME}, got ${describe(name)}`;
  throw typeof name === 'string' ? new RangeError(message) : new TypeError(message);
}

/** QUEUE_BACKEND. @throws {ConfigurationError} unless it is the name of a backend, or not set */
export function readBackendName({ QUEUE_BACKEND: name }: Env): string | undefined {
  if (name === undefined || name === '') return undefined;
  if (isBackendName(name)) return name;
  // Not the value: somebody may have put the address of a broker there, with its password.
  const wrong =
    typeof name === 'string' ? `a value with ${describe(/[^a-z0-9-]/u.exec(name)?.[0])} in it` : describe(name);
  throw new ConfigurationError(`Expected QUEUE_BACKEND to be ${BACKEND_NAME}, such as memory, got ${wrong}`);
}
