import { accessSync, constants, readdirSync, statSync } from 'node:fs';
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

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/**
 * Returns the folders beside a `bin` where servers are installed: `sbin`, which not every PATH
 * contains, and those of PostgreSQL on Debian, one a version, which no PATH contains.
 */
function besideBin(folder: string): string[] {
  if (path.basename(folder) !== 'bin') return [folder];
  const home = path.join(folder, '../lib/postgresql');
  const newestFirst = entries(home).toSorted((one, other) => Number(other) - Number(one));
  return [folder, path.join(folder, '../sbin'), ...newestFirst.map((version) => path.join(home, version, 'bin'))];
}

/** Finds a command on the PATH, or where servers are installed beside a `bin` on the PATH. */
export function findCommand(command: string, env: Env = process.env): string | undefined {
  const folders = (env.PATH ?? '').split(path.delimiter).map((folder) => folder || '.');
  return folders
    .flatMap(besideBin)
    .map((folder) => path.join(folder, command))
    .find(isCommand);
}
