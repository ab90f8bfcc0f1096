import type { ConsumerGroup } from '../backend.js';
import { type EngineErrors, FatalError } from '../core/engine-errors.js';
import type { Database } from './database.js';
import { existsEmbedded } from './embedded.js';
import { identifier, migrations, VERSION } from './migrations.js';
import { fromText, toText } from './names.js';
import type { CheckedPostgresOptions } from './options.js';
import { isMissing } from './postgres-errors.js';

type Query = Database['query'];

/** Creates and finds the tables, a queue and its groups. */
export class Topology {
  readonly #options: CheckedPostgresOptions;
  readonly #failures: EngineErrors;
  readonly #schema: string;
  /** Whether this process deletes the queue: it creates nothing then. */
  isDeleting = false;

  constructor(options: CheckedPostgresOptions, failures: EngineErrors) {
    this.#options = options;
    this.#failures = failures;
    this.#schema = identifier(options.schema);
  }

  /** Whether the queue and its groups are created if they are missing. */
  get mayCreate(): boolean {
    return this.#options.create && !this.isDeleting;
  }

  /**
   * Creates the tables, the queue and its groups, unless they exist.
   * @throws {QueueNotFoundError} (a rejection) if one is missing and may not be created
   */
  async open(query: Query): Promise<void> {
    const { groups, groupsDeclared } = this.#options;
    // A queue that does not exist need not be created to be deleted.
    if (this.isDeleting) return;
    const { server, create } = this.#options;
    // To look would start the database, which creates its folder.
    if (!create && 'url' in server && !existsEmbedded(server.url)) throw this.#failures.notFound();
    await this.#migrate(query);
    if (this.mayCreate)
      await query(`SELECT ${this.#schema}.open($1, $2, $3)`, [this.#name, groups.map(toText), !groupsDeclared]);
    else await this.check(query);
  }

  /** Creates a group that a consumer or a publisher needs. */
  async openGroup(query: Query, group: ConsumerGroup): Promise<void> {
    if (this.mayCreate) await query(`SELECT ${this.#schema}.open($1, $2, false)`, [this.#name, [toText(group)]]);
    else await this.check(query, [group]);
  }

  /**
   * @throws {QueueNotFoundError} (a rejection) if the queue, a declared group or one of `groups` is
   * missing
   */
  async check(query: Query, groups: readonly ConsumerGroup[] = []): Promise<void> {
    const existing = await this.#find(query);
    if (existing === undefined) throw this.#failures.notFound();
    const declared = this.#options.groupsDeclared ? this.#options.groups : [];
    const missing = [...declared, ...groups].find((name) => !existing.includes(name));
    if (missing !== undefined) throw this.#failures.notFound(missing);
  }

  /** Lists the groups of the queue. Resolves to undefined if the queue does not exist. */
  async #find(query: Query): Promise<ConsumerGroup[] | undefined> {
    const sql = `SELECT g.name FROM ${this.#schema}.queues q LEFT JOIN ${this.#schema}.groups g ON g.queue = q.id WHERE q.name = $1`;
    try {
      const rows = await query<{ readonly name: string | null }>(sql, [this.#name]);
      if (rows.length === 0) return undefined;
      return rows.flatMap(({ name }) => (name === null ? [] : [fromText(name)]));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #migrate(query: Query): Promise<void> {
    const { schema, migrate } = this.#options;
    const [state] = await query<{ encoding: string; isolation: string; exists: boolean }>(
      `SELECT current_setting('server_encoding') AS encoding, current_setting('default_transaction_isolation') AS isolation,
        EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'version') AS "exists"`,
      [schema],
    );
    if (state?.encoding !== 'UTF8') throw fatal(`The database has the encoding ${state?.encoding}, expected UTF8`);
    if (state.isolation !== 'read committed')
      throw fatal(`Transactions are ${state.isolation} by default, expected read committed`);
    const version = async () => {
      const [row] = await query<{ number: number }>(
        `SELECT max(number)::integer AS number FROM ${this.#schema}.version`,
      );
      return Number(row?.number ?? 0);
    };
    let found = state.exists ? await version() : 0;
    if (found === 0 && !this.mayCreate) throw this.#failures.notFound();
    if (found < VERSION && migrate && this.mayCreate) {
      for (const sql of migrations(schema).slice(found)) await query(sql);
      found = await version();
    }
    if (found === VERSION) return;
    const advice =
      found > VERSION ? 'Update this library' : 'Run the SQL of migrations(), or leave the option `migrate` on';
    throw fatal(`The tables in schema ${this.#schema} have version ${found}, expected ${VERSION}. ${advice}`);
  }

  get #name(): string {
    return toText(this.#options.name);
  }
}

function fatal(message: string): FatalError {
  return new FatalError(message, { cause: new Error(message) });
}
