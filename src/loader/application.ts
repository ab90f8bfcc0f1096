import { hasNoEntry, importModule, missingModule } from './import-module.js';

/**
 * The part of `node:module` that the search uses. It is imported on demand, because the library
 * also runs in browsers.
 */
interface Require {
  (file: string): unknown;
  readonly resolve: { (name: string): string; paths(name: string): readonly string[] | null };
}

interface NodeProcess {
  readonly argv: readonly string[];
  cwd(): string;
}

/** The conditions under which Node.js resolves an `import`. */
const CONDITIONS = new Set(['node', 'import', 'module-sync', 'default']);

/**
 * Resolves a package from the application: from the working directory, then from the script that
 * the process runs. This library cannot see the packages of the application if it is linked, or
 * with a package manager such as pnpm, where a package sees only its own dependencies.
 *
 * @returns the URL of the entry, or undefined if the package is not installed
 * @throws {Error} (a rejection) if the package is installed but has no entry
 */
export async function resolveFromApplication(name: string): Promise<string | undefined> {
  const { process } = globalThis as { process?: Partial<NodeProcess> };
  if (typeof process?.cwd !== 'function') return undefined;
  const { createRequire } = (await importModule('node:module')) as { createRequire(file: string): Require };
  const { pathToFileURL } = (await importModule('node:url')) as { pathToFileURL(file: string): URL };
  for (const place of [() => `${process.cwd?.()}/`, () => process.argv?.[1] ?? '']) {
    const require = attempt(() => createRequire(place()));
    const entry = require && resolveFrom(require, name);
    if (entry !== undefined) return pathToFileURL(entry).href;
  }
  return undefined;
}

function resolveFrom(require: Require, name: string): string | undefined {
  try {
    return require.resolve(name);
  } catch (error) {
    if (missingModule(error) === name) return undefined;
    const entry = hasNoEntry(error) ? resolveImport(require, name) : undefined;
    if (entry === undefined) throw error;
    return entry;
  }
}

/**
 * Finds the entry of an ESM-only package. Node.js resolves an `import` only from the calling
 * module.
 */
function resolveImport(require: Require, name: string): string | undefined {
  for (const folder of require.resolve.paths(name) ?? []) {
    const home = `${folder}/${name}`;
    const manifest = attempt(() => require(`${home}/package.json`) as { exports?: unknown });
    if (manifest !== undefined) {
      const target = targetOf(manifest.exports);
      return target === undefined ? undefined : `${home}/${target}`;
    }
  }
  return undefined;
}

/** Returns the file that `exports` maps an `import` of the package to. */
function targetOf(exports: unknown): string | undefined {
  if (typeof exports === 'string') return exports;
  if (typeof exports !== 'object' || exports === null) return undefined;
  if ('.' in exports) return targetOf(exports['.']);
  for (const [condition, target] of Object.entries(exports)) {
    const found = Array.isArray(exports) || CONDITIONS.has(condition) ? targetOf(target) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function attempt<Value>(run: () => Value): Value | undefined {
  try {
    return run();
  } catch {
    // The package is not in this folder. If no folder has it, the caller throws the error of
    // Node.js.
    return undefined;
  }
}
