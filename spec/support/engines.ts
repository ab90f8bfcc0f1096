import rows from '../../engines.json';

/** The columns of the engine table that tests read, see `scripts/lib/engines.mjs`. */
export interface Engine {
  readonly name: string;
  readonly title: string;
  readonly class: string;
  readonly variable: string;
  readonly variables?: readonly string[];
  readonly url: string;
  readonly peers: Readonly<Record<string, string>>;
  readonly clients?: readonly string[];
  readonly clientByScheme?: Readonly<Record<string, string>>;
  /** The commands that the tests start. The first one is the server. */
  readonly servers: Readonly<
    Record<string, { readonly apt: string; readonly brew: string; readonly dnf: string; readonly docs: string }>
  >;
}

/** The engines that need a server. */
export const engines = rows as readonly object[] as readonly Engine[];

/** The names of all built-in backends, as messages list them. */
export const BUILT_IN = ['memory', ...engines.map(({ name }) => name)].sort().join(', ');

/** Returns a URL where no server listens. */
export function nowhere({ url }: Engine): string {
  return url.replace(/\d+$/, '1');
}

/** Returns the packages that must be installed to load an engine for a URL. */
export function clientsOf(engine: Engine, url = engine.url): readonly string[] {
  const { peers, clients = Object.keys(peers), clientByScheme = {} } = engine;
  const { [url.slice(0, url.indexOf(':'))]: chosen } = clientByScheme;
  return chosen === undefined ? clients : [...clients, chosen];
}
