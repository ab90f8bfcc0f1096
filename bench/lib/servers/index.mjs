import { engines } from '../../../scripts/lib/engines.mjs';
import { findCommand } from './find-command.mjs';

/**
 * The servers of the engines, by name. Each has a `title`, a `command`, a `start(file)` that
 * receives the path of the command, and an `empty(url)` that runs before each measured run.
 */
export const servers = Object.fromEntries(
  await Promise.all(
    engines.map(async ({ name, title, servers: commands }) => [
      name,
      { title, command: Object.keys(commands)[0], ...(await import(`../../${name}/server.mjs`)) },
    ]),
  ),
);

/** Starts a server. Resolves to `undefined` if its command is not on the PATH. */
export async function startIfInstalled({ command, start }) {
  const file = findCommand(command);
  return file === undefined ? undefined : start(file);
}
