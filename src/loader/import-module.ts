import { isError } from '../internal/describe.js';

/**
 * Imports a module that bundlers must not follow, because it may be missing at run time. The
 * CommonJS build also uses `import()`, because the package may be an ES module.
 */
export function importModule(specifier: string): Promise<unknown> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ specifier);
}

/** Returns the package or file that an import did not find, or undefined for any other error. */
export function missingModule(error: unknown): string | undefined {
  if (!isError(error)) return undefined;
  const { code, message } = error as Error & { readonly code?: unknown };
  // An `import` fails with the first code, a `require` with the second. Only the message tells
  // whether the module itself is missing, or one that it imports.
  if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') return undefined;
  return /^Cannot find (?:package|module) '([^']+)'/.exec(message)?.[1];
}

/** Whether a package is installed, but has no entry for an `import`, or none for a `require`. */
export function hasNoEntry(error: unknown): boolean {
  return isError(error) && (error as Error & { readonly code?: unknown }).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
}
