import { BackendNotFoundError } from '../errors.js';

/** Returns the commands that install some packages, one a line. */
function installCommands(packages: readonly string[]): string {
  return ['npm install', 'pnpm add', 'yarn add'].map((command) => `\n  ${command} ${packages.join(' ')}`).join('');
}

/** Creates the error for a name that is neither built in nor registered, and has no package. */
export function backendNotFound(
  name: string,
  packageName: string,
  known: { readonly builtIn: readonly string[]; readonly registered: readonly string[] },
  cause: unknown,
): BackendNotFoundError {
  const registered =
    known.registered.length === 0 ? 'none is registered' : `registered: ${known.registered.join(', ')}`;
  return new BackendNotFoundError(
    `QUEUE_BACKEND names the backend "${name}", which does not exist (built in: ${known.builtIn.join(', ')}; ${registered}), ` +
      `and the package ${packageName} is not installed. To install it:${installCommands([packageName])}`,
    { cause },
  );
}

/** Creates the error for a built-in backend whose client is not installed. */
export function clientNotFound(name: string, clients: readonly string[], cause: unknown): BackendNotFoundError {
  const needed =
    clients.length === 1
      ? `the package ${clients[0]}, which is not installed`
      : `the packages ${clients.join(', ')}, which are not all installed`;
  return new BackendNotFoundError(`The backend "${name}" needs ${needed}. To install:${installCommands(clients)}`, {
    cause,
  });
}
