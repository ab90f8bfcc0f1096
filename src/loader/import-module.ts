import { isError } from '../internal/describe.js';

/**
 * Imports what no bundler should follow: it is there at run time, or it is not. In the CommonJS build too this is an `import()`, since a package may be an ES
 * module.
 */
export function importModule(specifier: string): Promise<unknown> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ specifier);
}

/** The name of the package or file that was not found, if that is what failed. */
export function missingModule(error: unknown): string | undefined {
  if (!isError(error)) return undefined;
  const { code, message } = error as Error & { readonly code?: unknown };
  // The first is what an `import` says, the second a `require`. Only the message says what was missing: the module itself, or one that it needs.
  if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') return undefined;
  return /^Cannot find (?:package|module) '([^']+)'/.exec(message)?.[1];
}

/** Whether a package has no entry for the way in which it was asked for, an `import` or a `require`. */
export function hasNoEntry(error: unknown): boolean {
  return isError(error) && (error as Error & { readonly code?: unknown }).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
}
