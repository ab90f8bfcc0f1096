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

interface KnownBackends {
  readonly builtIn: readonly string[];
  readonly registered: readonly string[];
  /** The engine whose URL begins with the name that was not found. */
  readonly byScheme: { readonly name: string; readonly variable: string } | undefined;
}

/** Asks whether another backend was meant. */
function meantInstead(name: string, { builtIn, registered, byScheme }: KnownBackends): string | undefined {
  const meant = [...builtIn, ...registered].find((each) => isNear(each, name));
  if (meant !== undefined) return `Did you mean "${meant}"?`;
  return byScheme && `Did you mean "${byScheme.name}", with ${byScheme.variable}=${name}:…?`;
}

/** Creates the error for a name that is neither built in nor registered, and has no package. */
export function backendNotFound(
  name: string,
  packageName: string,
  known: KnownBackends,
  cause: unknown,
): BackendNotFoundError {
  const registered =
    known.registered.length === 0 ? 'none is registered' : `registered: ${known.registered.join(', ')}`;
  // A command to copy would install what a stranger has published under the misspelt name.
  const advice = meantInstead(name, known) ?? `To install it:${installCommands([packageName])}`;
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
