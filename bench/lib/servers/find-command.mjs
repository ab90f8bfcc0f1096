import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Finds a command on the PATH, or where servers are installed beside a `bin` on the PATH: in
 * `sbin`, which not every PATH contains, and in the folders of PostgreSQL on Debian, one a version,
 * which no PATH contains.
 */
export function findCommand(command, folders = (process.env.PATH ?? '').split(path.delimiter)) {
  return folders
    .flatMap((folder) => (path.basename(folder) === 'bin' ? besideBin(folder) : [folder || '.']))
    .map((folder) => path.join(folder, command))
    .find(isCommand);
}

function besideBin(folder) {
  const home = path.join(folder, '../lib/postgresql');
  const newestFirst = entries(home).toSorted((one, other) => Number(other) - Number(one));
  return [folder, path.join(folder, '../sbin'), ...newestFirst.map((version) => path.join(home, version, 'bin'))];
}

function entries(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isCommand(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
