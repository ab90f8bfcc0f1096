import type { Env } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { MemoryBackend } from '../memory/memory-backend.js';
import { ENGINES } from './engines.js';

/** Creates a backend from the environment: usually the class of the backend. */
interface FromEnv {
  fromEnv(env: Env, options: { readonly logger: Logger }): unknown;
}

/** A backend that is built in. */
export interface Provider {
  /** The client packages that must be installed to load it. */
  readonly clients: readonly string[];
  /** Returns the client package that it will import when it connects, if the environment tells. */
  clientFor?(env: Env): string | undefined;
  /** @throws {Error} (a rejection) if a client is not installed */
  load(): Promise<FromEnv>;
}

/** The built-in backends, by their name in `QUEUE_BACKEND`. */
export const providers: ReadonlyMap<string, Provider> = new Map<string, Provider>([
  ['memory', { clients: [], load: async () => MemoryBackend }],
  ...ENGINES.map((engine): [string, Provider] => [
    engine.name,
    {
      clients: engine.clients,
      clientFor: (env) => chosenClient(engine, env),
      load: () => loadClass(`sluice/${engine.name}`, engine.className),
    },
  ]),
]);

/** Returns the client of an engine that has several. `fromEnv` refuses an unknown scheme. */
function chosenClient({ variable, clientByScheme }: (typeof ENGINES)[number], env: Env): string | undefined {
  if (clientByScheme === undefined) return undefined;
  const scheme = /^\w+(?=:)/.exec(String(env[variable]))?.[0].toLowerCase();
  return new Map(Object.entries(clientByScheme)).get(scheme ?? '');
}

/**
 * Returns the engine whose URL begins with a name, if there is one: the name of a client may be taken
 * for that of its backend.
 */
export function engineByScheme(scheme: string): { readonly name: string; readonly variable: string } | undefined {
  for (const { name, variable, clientByScheme = {} } of ENGINES)
    if (variable !== undefined && Object.hasOwn(clientByScheme, scheme)) return { name, variable };
  return undefined;
}

/**
 * Loads a class from a subpath of this package. The specifier is a variable, because a bundler
 * would follow a constant into a client that is not installed or that no browser can run. The
 * CommonJS build uses `require` (see rollup.config.mjs), so that an application that requires the
 * subpath gets the same class.
 */
async function loadClass(subpath: string, name: string): Promise<FromEnv> {
  const module = await import(/* webpackIgnore: true */ /* @vite-ignore */ subpath);
  return module[name];
}
