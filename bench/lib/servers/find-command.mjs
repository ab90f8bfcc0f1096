import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Finds a command on the PATH, or in the `sbin` beside a `bin` on the PATH, since not every PATH
 * contains `sbin`.
 */
export function findCommand(command, folders = (process.env.PATH ?? '').split(path.delimiter)) {
  return folders
    .flatMap((folder) => (path.basename(folder) === 'bin' ? [folder, path.join(folder, '../sbin')] : [folder || '.']))
    .map((folder) => path.join(folder, command))
    .find(isCommand);
}

function isCommand(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
