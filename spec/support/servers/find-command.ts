import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

type Env = Readonly<Record<string, string | undefined>>;

function isCommand(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * Returns the `sbin` beside a `bin`. Servers are installed there, but not every PATH contains it.
 */
const besideBin = (folder: string): string[] =>
  path.basename(folder) === 'bin' ? [folder, path.join(folder, '../sbin')] : [folder];

/** Finds a command on the PATH, or in the `sbin` beside a `bin` on the PATH. */
export function findCommand(command: string, env: Env = process.env): string | undefined {
  const folders = (env.PATH ?? '').split(path.delimiter).map((folder) => folder || '.');
  return folders
    .flatMap(besideBin)
    .map((folder) => path.join(folder, command))
    .find(isCommand);
}
