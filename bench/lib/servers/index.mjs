import { engines } from '../../../scripts/lib/engines.mjs';
import { findCommand } from './find-command.mjs';

/**
 * The servers of the engines, by name. Each has a `title`, a `command`, a `start(file)` with the
 * path of that command, and an `empty(url)`, which runs before a run and outside of its time.
 */
export const servers = Object.fromEntries(
  await Promise.all(
    engines.map(async ({ name, title, servers: commands }) => [
      name,
      { title, command: Object.keys(commands)[0], ...(await import(`../../${name}/server.mjs`)) },
    ]),
  ),
);

/** Starts one of them; resolves to undefined if its command is not on the PATH. */
export async function startIfInstalled({ command, start }) {
  const file = findCommand(command);
  return file === undefined ? undefined : start(file);
}
