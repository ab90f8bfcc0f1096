import {
  type CheckedDriverOptions,
  checkDriverOptions,
  checkServer,
  type DriverOptions,
  readDriverEnv,
} from '../core/options.js';
import { ConfigurationError } from '../errors.js';
import { describe } from '../internal/describe.js';
import { describeVariable, type Env, hasCredentials, readVariable } from '../internal/environment.js';
import { checkChoice, checkCount, checkMethods, checkOptions } from '../internal/options.js';
import { NATS_URL } from './url.js';

/** The maximum of JetStream. */
const MAX_REPLICAS = 5;

/** A connection of `@nats-io/transport-node`. */
export interface NatsClient {
  // biome-ignore lint/suspicious/noExplicitAny: any copy of the client will do, and its types are its own
  publish(subject: string, payload?: any, options?: any): void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  subscribe(subject: string, options?: any): any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  request(subject: string, payload?: any, options?: any): Promise<any>;
  status(): AsyncIterable<unknown>;
  flush(): Promise<void>;
  isClosed(): boolean;
}

/** The options of `NatsBackend`: those of all engines, and how to reach the server. */
export interface NatsBackendOptions extends DriverOptions {
  /**
   * The servers: `nats://[user:password@]host[:port]`, `nats://token@host`, or `tls://` for TLS.
   * Separate several with commas. Either this or `client`.
   */
  readonly url?: string | undefined;
  /**
   * A connection of `@nats-io/transport-node`, for what a URL cannot express: certificates, NKeys,
   * JWTs. It must reconnect by itself, without end. The queue does not close it. Either this or
   * `url`.
   */
  readonly client?: NatsClient | undefined;
  /**
   * How many servers of a cluster store each message, from 1 to 5. Default: as many as the queue
   * has; 1 for a new one.
   */
  readonly replicas?: number | undefined;
  /**
   * Where the server stores messages. `'memory'` does not survive a restart. Default: where the
   * queue has them; `'file'` for a new one.
   */
  readonly storage?: 'file' | 'memory' | undefined;
  /**
   * The JetStream domain of the queue, if leaf nodes have several. Default: the domain of the
   * connected server.
   */
  readonly domain?: string | undefined;
}

export interface CheckedNatsOptions extends CheckedDriverOptions {
  readonly server: { readonly url: string } | { readonly client: NatsClient };
  readonly replicas: number | undefined;
  readonly storage: 'file' | 'memory' | undefined;
  readonly domain: string | undefined;
}

/** A domain is one token of a subject. */
const DOMAIN = 'the name of a domain, without spaces, `.`, `*` and `>`';

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkNatsOptions(options: NatsBackendOptions | undefined): CheckedNatsOptions {
  const given = checkOptions(options);
  const { replicas, storage, domain } = given;
  if (replicas !== undefined && checkCount('replicas', replicas) > MAX_REPLICAS)
    throw new RangeError(`Expected \`replicas\` to be at most ${MAX_REPLICAS}, got ${replicas}`);
  if (storage !== undefined) checkChoice('storage', storage, ['file', 'memory']);
  if (domain !== undefined && !isDomain(domain)) {
    const InvalidError = typeof domain === 'string' ? RangeError : TypeError;
    throw new InvalidError(`Expected \`domain\` to be ${DOMAIN}, got ${describe(domain)}`);
  }
  return {
    server: checkServer(given, { ...NATS_URL, checkClient }),
    replicas,
    storage,
    domain,
    ...checkDriverOptions(given),
  };
}

/**
 * Reads NATS_URL, NATS_DOMAIN and the variables of every engine.
 * @throws {ConfigurationError} if a variable is missing or malformed. The message names it.
 */
export function readNatsEnv(env: Env): NatsBackendOptions {
  const options = readDriverEnv(env, 'NATS_URL', NATS_URL);
  const domain = readVariable(env, 'NATS_DOMAIN');
  if (domain !== undefined && (!isDomain(domain) || hasCredentials(domain)))
    throw new ConfigurationError(`Expected NATS_DOMAIN to be ${DOMAIN}, got ${describeVariable(domain)}`);
  return { ...options, domain };
}

function isDomain(domain: unknown): domain is string {
  return typeof domain === 'string' && /^[^\s.*>]+$/.test(domain);
}

function checkClient(client: NatsClient): void {
  checkMethods('client', client, ['publish', 'subscribe', 'request', 'status', 'flush', 'isClosed']);
}
