import { hasNoEntry, importModule, missingModule } from './import-module.js';

/** What the search needs of Node.js. It is asked for when it is needed: the library also runs where there is none of it. */
interface Require {
  (file: string): unknown;
  readonly resolve: { (name: string): string; paths(name: string): readonly string[] | null };
}

interface NodeProcess {
  readonly argv: readonly string[];
  cwd(): string;
}

/** The conditions of an `import` in Node.js. */
const CONDITIONS = new Set(['node', 'import', 'module-sync', 'default']);

/**
 * Looks for a package as the application sees it: from the working directory, then from the script that the process runs. What an application has installed is
 * out of sight of this library where each package sees its own dependencies only, as with pnpm, and where the library is linked.
 * @returns the URL of the package's entry, or undefined where there is no such package
 * @throws where the package is there but has no entry
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

/** The entry of a package that can only be imported: Node.js cannot be asked for that from a place other than the own. */
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

/** The file that `exports` gives to an `import` of the package itself. */
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
    // There is no such package in this folder: the next one is asked. If none has it, the caller throws the error of Node.js.
    return undefined;
  }
}
