import { BackendNotFoundError } from '../errors.js';

/** The commands that install some packages, a line each. */
function installCommands(packages: readonly string[]): string {
  return ['npm install', 'pnpm add', 'yarn add'].map((command) => `\n  ${command} ${packages.join(' ')}`).join('');
}

/** For a name that is neither built in nor registered, and whose package is not installed. */
export function backendNotFound(
  name: string,
  packageName: string,
  known: { readonly builtIn: readonly string[]; readonly registered: readonly string[] },
  cause: unknown,
): BackendNotFoundError {
  const registered =
    known.registered.length === 0 ? 'none is registered' : `registered: ${known.registered.join(', ')}`;
  return new BackendNotFoundError(
    `There is no backend "${name}", which QUEUE_BACKEND asks for (built in: ${known.builtIn.join(', ')}; ${registered}), ` +
      `and the package ${packageName} is not installed. To install it:${installCommands([packageName])}`,
    { cause },
  );
}

/** For a backend that is built in, without its client. */
export function clientNotFound(name: string, clients: readonly string[], cause: unknown): BackendNotFoundError {
  const needed =
    clients.length === 1
      ? `the package ${clients[0]}, which is not installed`
      : `the packages ${clients.join(', ')}, which are not all installed`;
  return new BackendNotFoundError(
    `The backend "${name}" needs ${needed}. To install what it needs:${installCommands(clients)}`,
    { cause },
  );
}
