import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** The version of this package. */
export function ownVersion(): string {
  return createRequire(import.meta.url)('sluice/package.json').version;
}

/** Returns the version of a package that this one or the application has. Undefined: neither has it. */
export function versionOf(name: string): string | undefined {
  for (const from of [import.meta.url, path.join(process.cwd(), 'index.js')]) {
    // Not by require.resolve: a package need not export its manifest.
    for (const folder of createRequire(from).resolve.paths(name) ?? []) {
      try {
        return JSON.parse(readFileSync(path.join(folder, name, 'package.json'), 'utf8')).version;
      } catch {
        // It is not in this folder.
      }
    }
  }
  return undefined;
}
