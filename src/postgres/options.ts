import {
  type CheckedDriverOptions,
  checkDriverOptions,
  checkServer,
  type DriverOptions,
  decodeAll,
  readDriverEnv,
  type UrlRule,
} from '../core/options.js';
import { ConfigurationError } from '../errors.js';
import { LONGEST_TIMER } from '../internal/after.js';
import {
  describeVariable,
  type Env,
  hasCredentials,
  readFlag,
  readMilliseconds,
  readVariable,
} from '../internal/environment.js';
import { checkFlag, checkMethods, checkMilliseconds, checkName, checkOptions } from '../internal/options.js';
import type { Queryable } from './queryable.js';

const EMBEDDED = 'pglite:';
const EXPECTED =
  'a URL such as postgres://user:password@host:5432/database, pglite:memory or pglite:./folder for an embedded PostgreSQL';

/** The URLs of a server and of an embedded database. */
export const POSTGRES_URL: UrlRule = {
  expected: EXPECTED,
  whereOf: (url) => {
    if (url.startsWith(EMBEDDED)) return url.length > EMBEDDED.length ? url : undefined;
    try {
      const { protocol, host, searchParams, username, password } = new URL(url);
      decodeAll(username, password);
      const where = host || searchParams.get('host');
      return /^postgres(?:ql)?:$/.test(protocol) && where ? where : undefined;
    } catch {
      // This is not a URL. The caller reports the error.
      return undefined;
    }
  },
};

/** Returns `memory` or the folder of a URL of an embedded database. Undefined: it is a server. */
export function embeddedIn(url: string): string | undefined {
  return url.startsWith(EMBEDDED) ? url.slice(EMBEDDED.length) : undefined;
}

/** The options of `PostgresBackend`: those of all engines, and how to reach the server. */
export interface PostgresBackendOptions extends DriverOptions {
  /**
   * The database: `postgres://[user[:password]@][host][:port]/database`. Or `pglite:memory` or
   * `pglite:FOLDER`, for an embedded PostgreSQL: `publishTimeout` is then 60,000 by default, since
   * the first start takes seconds. Either this or `client`.
   */
  readonly url?: string | undefined;
  /**
   * Anything with `query(text, values)`, such as a `pg.Pool` or a PGlite. The queue does not close
   * it. From a pool, it keeps one connection for notifications. Either this or `url`.
   */
  readonly client?: Queryable | undefined;
  /** Where the tables are, 1 to 63 bytes of UTF-8 without `$`. Default: `sluice`. */
  readonly schema?: string | undefined;
  /**
   * Whether to create and upgrade the tables on first use. Without it, run the SQL of
   * `migrations()`. Default: true.
   */
  readonly migrate?: boolean | undefined;
  /**
   * How often consumers ask for messages, in milliseconds, from 10 up. Then the queue does not use
   * LISTEN, which needs a connection of its own: behind PgBouncer in transaction mode it would get
   * no notifications. Default: it listens.
   */
  readonly pollInterval?: number | undefined;
}

export interface CheckedPostgresOptions extends CheckedDriverOptions {
  readonly server: { readonly url: string } | { readonly client: Queryable };
  readonly schema: string;
  readonly migrate: boolean;
  readonly pollInterval: number | undefined;
}

const SHORTEST_POLL = 10;

/** The first publish starts the database, which a busy machine may take long for, in milliseconds. */
const EMBEDDED_PUBLISH_TIMEOUT = 60_000;

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkPostgresOptions(options: PostgresBackendOptions | undefined): CheckedPostgresOptions {
  const given = checkOptions(options);
  const { schema = 'sluice', migrate = true, pollInterval } = given;
  const checkClient = (client: Queryable) => void checkMethods('client', client, ['query']);
  const server = checkServer(given, { ...POSTGRES_URL, checkClient });
  const isEmbedded = 'url' in server && embeddedIn(server.url) !== undefined;
  const { publishTimeout = isEmbedded ? EMBEDDED_PUBLISH_TIMEOUT : undefined } = given;
  return {
    server,
    schema: checkSchema(schema),
    migrate: checkFlag('migrate', migrate),
    pollInterval:
      pollInterval === undefined
        ? undefined
        : checkMilliseconds('pollInterval', pollInterval, { least: SHORTEST_POLL, most: LONGEST_TIMER }),
    ...checkDriverOptions({ ...given, publishTimeout }),
  };
}

/**
 * Reads POSTGRES_URL, POSTGRES_SCHEMA, POSTGRES_MIGRATE, POSTGRES_POLL_INTERVAL and the variables
 * that all engines share.
 */
export function readPostgresEnv(env: Env): PostgresBackendOptions {
  const schema = readVariable(env, 'POSTGRES_SCHEMA');
  if (schema !== undefined && (!isSchema(schema) || hasCredentials(schema)))
    throw new ConfigurationError(`Expected POSTGRES_SCHEMA to be ${SCHEMA}, got ${describeVariable(schema)}`);
  return {
    ...readDriverEnv(env, 'POSTGRES_URL', POSTGRES_URL),
    schema,
    migrate: readFlag(env, 'POSTGRES_MIGRATE'),
    pollInterval: readMilliseconds(env, 'POSTGRES_POLL_INTERVAL', { least: SHORTEST_POLL, most: LONGEST_TIMER }),
  };
}

const MAX_SCHEMA_BYTES = 63;
const SCHEMA = '1 to 63 bytes of UTF-8 without `$` and NUL, that do not begin with `pg_`';

function isSchema(schema: string): boolean {
  return Buffer.byteLength(schema) <= MAX_SCHEMA_BYTES && !/^pg_|[$\0]/.test(schema);
}

function checkSchema(schema: string): string {
  if (isSchema(checkName('schema', schema))) return schema;
  throw new RangeError(`Expected \`schema\` to be ${SCHEMA}, got ${JSON.stringify(schema)}`);
}
