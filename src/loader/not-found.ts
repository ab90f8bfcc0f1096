import { BackendNotFoundError } from '../errors.js';

/** Returns the commands that install some packages, one a line. */
function installCommands(packages: readonly string[]): string {
  return ['npm install', 'pnpm add', 'yarn add'].map((command) => `\n  ${command} ${packages.join(' ')}`).join('');
}

/** How many neighbouring characters a misspelt name may differ in. */
const MOST_WRONG = 2;

/** Whether one name may be a misspelling of the other. */
function isNear(one: string, other: string): boolean {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start++;
  let end = 0;
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  return Math.max(one.length, other.length) - start - end <= MOST_WRONG;
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
  const meant = [...known.builtIn, ...known.registered].find((each) => isNear(each, name));
  // A command to copy would install what a stranger has published under the misspelt name.
  const advice = meant === undefined ? `To install it:${installCommands([packageName])}` : `Did you mean "${meant}"?`;
  return new BackendNotFoundError(
    `QUEUE_BACKEND names the backend "${name}", which does not exist (built in: ${known.builtIn.join(', ')}; ${registered}), ` +
      `and the package ${packageName} is not installed. ${advice}`,
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
