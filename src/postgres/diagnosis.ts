import type { QueueDiagnosis, QueueFinding } from '../backend.js';
import { shellCommand } from '../core/unread-group.js';
import type { Database } from './database.js';
import { identifier, VERSION } from './migrations.js';
import { fromText } from './names.js';
import { codeOf } from './postgres-errors.js';
import { RIGHTS } from './rights.js';

type Query = Database['query'];

export interface DiagnosisOptions {
  readonly query: Query;
  readonly schema: string;
  /** The name as it is in the tables. */
  readonly queue: string;
  /** In milliseconds. */
  readonly lease: number;
  readonly clients: readonly string[];
  /** Whether it is a PGlite. */
  readonly isEmbedded: boolean;
  /** Whether it is a PGlite that keeps its data in memory. */
  readonly isInMemory: boolean;
  /** Whether notifications may get lost in a pooler. */
  readonly isPooled: boolean;
  /** From which age on a transaction counts as long, in milliseconds. */
  readonly longTransaction?: number;
}

interface Settings {
  readonly version: string;
  readonly role: string;
  readonly database: string;
  readonly isReadOnly: boolean;
  readonly isStandby: boolean;
  readonly standbys: string;
}

interface Setting {
  readonly name: string;
  readonly setting: string;
  readonly source: string;
}

const HOUR = 3_600_000;

/** A table with fewer dead rows is never reported. */
const MANY_DEAD_ROWS = 100_000;

/** How many times as many dead rows as live ones a table must have to be reported. */
const FAR_ABOVE = 10;

/** Looks for what is wrong with a queue and its server, without changing anything. */
export async function diagnose(options: DiagnosisOptions): Promise<QueueDiagnosis> {
  const { query, clients, isEmbedded } = options;
  const clockDifference = await readClockDifference(query);
  const [settings] = await query<Settings>(
    `SELECT split_part(current_setting('server_version'), ' ', 1) AS version, current_user AS role, current_database() AS database,
      current_setting('transaction_read_only') = 'on' AS "isReadOnly", pg_is_in_recovery() AS "isStandby",
      current_setting('synchronous_standby_names') AS standbys`,
  );
  if (settings === undefined) throw new Error('Expected a row of settings');
  const checks = [
    settingFindings,
    accessFindings,
    transactionFindings,
    preparedFindings,
    tableFindings,
    rightFindings,
    leaseFindings,
    quarantineFindings,
  ];
  const findings: QueueFinding[] = [];
  for (const check of checks) findings.push(...(await permitted(() => check(options, settings))));
  const title = `PostgreSQL ${settings.version}`;
  // No `psql` connects to an embedded database.
  const told = isEmbedded ? findings.map((finding) => ({ ...finding, command: undefined })) : findings;
  return { server: isEmbedded ? `PGlite (${title})` : title, clients, clockDifference, findings: told };
}

/** Notes a check that the role may not make. */
async function permitted(check: () => Promise<QueueFinding[]>): Promise<QueueFinding[]> {
  try {
    return await check();
  } catch (error) {
    if (codeOf(error) !== '42501') throw error;
    const message = `The role may not check the server: ${(error as Error).message}.`;
    return [{ code: 'postgres-check-refused', severity: 'note', message }];
  }
}

async function readClockDifference(query: Query): Promise<number> {
  const before = Date.now();
  const [row] = await query<{ now: number }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::double precision AS now',
  );
  return Math.round(Number(row?.now) - (before + Date.now()) / 2);
}

/** Writes the command line that runs statements with `psql`. */
function psql(...statements: string[]): string {
  return shellCommand(['psql', ...statements.flatMap((sql) => ['-c', sql])]);
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function settingFindings(
  { query, isEmbedded, isInMemory }: DiagnosisOptions,
  server: Settings,
): Promise<QueueFinding[]> {
  const rows = await query<Setting>(
    `SELECT name, setting, source FROM pg_settings
     WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum', 'track_counts')`,
  );
  const settings = new Map(rows.map((row) => [row.name, row]));
  const valueFor = (name: string) => settings.get(name)?.setting;
  const findings: QueueFinding[] = [];
  const add = (name: string, message: string, severity: QueueFinding['severity'] = 'problem') => {
    const code = `postgres-${name.replaceAll('_', '-')}`;
    findings.push({ code, severity, message, command: resetCommand(settings.get(name), server) });
  };
  if (valueFor('fsync') === 'off' && !isInMemory) {
    const of = isEmbedded
      ? 'PGlite writes commits to the operating system without `fsync`'
      : 'The server has `fsync off`';
    add(
      'fsync',
      `${of}: a confirmed message may not be on the disk. If the machine fails, messages are lost, and the database can be damaged.`,
      // Nothing can be done about it.
      isEmbedded ? 'note' : 'problem',
    );
  }
  if (valueFor('full_page_writes') === 'off')
    add(
      'full_page_writes',
      'The server has `full_page_writes off`: if the machine fails during a write, the database can be damaged.',
    );
  const commit = valueFor('synchronous_commit');
  if (commit === 'off')
    add(
      'synchronous_commit',
      'The connections of the queue have `synchronous_commit off`: the server confirms a message before the message is on its disk. ' +
        'If the server fails, the messages of the last moments are lost.',
    );
  if (commit === 'local') {
    const has =
      'The connections of the queue have `synchronous_commit local`: the server confirms a message before a standby has it.';
    if (server.standbys === '') add('synchronous_commit', `${has} The server names no synchronous standby.`, 'note');
    else add('synchronous_commit', `${has} A failover loses confirmed messages.`);
  }
  for (const name of isEmbedded ? [] : ['autovacuum', 'track_counts']) {
    if (valueFor(name) !== 'off') continue;
    add(
      name,
      `The server has \`${name} off\`: it does not remove the rows of settled messages. The tables and indexes of the queue grow ` +
        'without end, and the queue becomes slow.',
    );
  }
  return findings;
}

/** The command that sets a setting to `on`, where it was set. */
function resetCommand(setting: Setting | undefined, { role, database }: Settings): string | undefined {
  if (setting === undefined) return undefined;
  const { name, source } = setting;
  if (source === 'user') return psql(`ALTER ROLE ${identifier(role)} RESET ${name}`);
  if (source === 'database') return psql(`ALTER DATABASE ${identifier(database)} RESET ${name}`);
  if (source === 'database user')
    return psql(`ALTER ROLE ${identifier(role)} IN DATABASE ${identifier(database)} RESET ${name}`);
  // The command line of the server and the options of a connection win over its configuration.
  if (source !== 'configuration file' && source !== 'default') return undefined;
  return psql(`ALTER SYSTEM SET ${name} = on`, 'SELECT pg_reload_conf()');
}

async function accessFindings(
  { isPooled, isInMemory }: DiagnosisOptions,
  { isStandby, isReadOnly }: Settings,
): Promise<QueueFinding[]> {
  const findings: QueueFinding[] = [];
  if (isInMemory)
    findings.push({
      code: 'postgres-in-memory',
      severity: 'problem',
      message: 'The database is in memory: its messages are lost when the process exits. Use `pglite:FOLDER`.',
    });
  if (isStandby)
    findings.push({
      code: 'postgres-standby',
      severity: 'problem',
      message:
        'The server is in recovery, such as a standby: it refuses messages, and consumers cannot take any. Connect to the primary.',
    });
  else if (isReadOnly)
    findings.push({
      code: 'postgres-read-only',
      severity: 'problem',
      message:
        'Transactions are read-only by default: the server refuses messages, and consumers cannot take any. ' +
        'Set `default_transaction_read_only` to off.',
    });
  if (isPooled)
    findings.push({
      code: 'postgres-pooler',
      severity: 'note',
      message:
        'A pooler such as PgBouncer is in front of the server. In transaction mode it passes no notifications on, so that ' +
        'idle consumers get messages up to 15 seconds late. Set `pollInterval` or POSTGRES_POLL_INTERVAL.',
      command: 'export POSTGRES_POLL_INTERVAL=200',
    });
  return findings;
}

async function transactionFindings(
  { query, longTransaction = HOUR, isEmbedded }: DiagnosisOptions,
  { role }: Settings,
): Promise<QueueFinding[]> {
  const rows = await query<{ pid: number; name: string; state: string; minutes: number }>(
    `SELECT pid, coalesce(application_name, '') AS name, state, floor(extract(epoch FROM clock_timestamp() - xact_start) / 60)::integer AS minutes
     FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
       AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND xact_start <= clock_timestamp() - $1 * interval '1 ms' ORDER BY xact_start`,
    [longTransaction],
  );
  const findings = rows.map(({ pid, name, state, minutes }): QueueFinding => {
    const of = name === '' ? '' : ` of ${JSON.stringify(name)}`;
    return {
      code: 'postgres-long-transaction',
      severity: 'problem',
      message:
        `The transaction of process ${pid}${of} has been open for ${minutes} minutes, and is ${state}. Until it ends, the server ` +
        'removes no row that was deleted since: the tables of the queue grow.',
      command: psql(`SELECT pg_terminate_backend(${pid})`),
    };
  });
  const [rights] = await query<{ sees: boolean }>(`SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees`);
  if (rights?.sees || isEmbedded) return findings;
  const note: QueueFinding = {
    code: 'postgres-activity-hidden',
    severity: 'note',
    message: `The role ${JSON.stringify(role)} does not see the transactions of other roles, so long ones are not found.`,
    command: psql(`GRANT pg_read_all_stats TO ${identifier(role)}`),
  };
  return [...findings, note];
}

async function preparedFindings({ query, longTransaction = HOUR }: DiagnosisOptions): Promise<QueueFinding[]> {
  const rows = await query<{ gid: string }>(
    `SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND prepared <= clock_timestamp() - $1 * interval '1 ms'
     ORDER BY prepared`,
    [longTransaction],
  );
  return rows.map(({ gid }) => ({
    code: 'postgres-prepared-transaction',
    severity: 'problem',
    message:
      `The prepared transaction ${JSON.stringify(gid)} has been open for more than an hour. Until it is committed or rolled ` +
      'back, the server removes no row that was deleted since: the tables of the queue grow.',
    command: psql(`ROLLBACK PREPARED ${literal(gid)}`),
  }));
}

async function tableFindings({ query, schema }: DiagnosisOptions): Promise<QueueFinding[]> {
  const findings: QueueFinding[] = [];
  const quoted = identifier(schema);
  const [row] = await query<{ number: number }>(`SELECT max(number)::integer AS number FROM ${quoted}.version`);
  if (row?.number !== VERSION)
    findings.push({
      code: 'postgres-version',
      severity: 'problem',
      message: `The tables have version ${row?.number}, and this library expects ${VERSION}. Update the older one of the two.`,
    });
  const tables = await query<{ name: string; unlogged: boolean; dead: number; live: number }>(
    `SELECT c.relname AS name, c.relpersistence = 'u' AS unlogged, coalesce(s.n_dead_tup, 0)::double precision AS dead,
       coalesce(s.n_live_tup, 0)::double precision AS live
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
     WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY 1`,
    [schema],
  );
  for (const { name, unlogged, dead, live } of tables) {
    const table = `${quoted}.${identifier(name)}`;
    if (unlogged)
      findings.push({
        code: 'postgres-unlogged',
        severity: 'problem',
        message: `The table ${table} is unlogged: if the server fails, all its rows are lost.`,
        command: psql(`ALTER TABLE ${table} SET LOGGED`),
      });
    if (dead >= MANY_DEAD_ROWS && dead > live * FAR_ABOVE)
      findings.push({
        code: 'postgres-dead-rows',
        severity: 'note',
        message:
          `The table ${table} has about ${dead} dead rows and ${live} live ones. Something keeps the server from removing them, ` +
          'such as a long transaction, or autovacuum is behind.',
        command: psql(`VACUUM ${table}`),
      });
  }
  return findings;
}

async function rightFindings({ query, schema }: DiagnosisOptions, { role }: Settings): Promise<QueueFinding[]> {
  const quoted = identifier(schema);
  const tables = Object.entries(RIGHTS).flatMap(([table, rights]) => rights.map((right) => ({ table, right })));
  const missing = await query<{ what: string; grant: string }>(
    `SELECT r.right || ' on table ' || r.table AS what, r.right || ' ON ' || quote_ident($1) || '.' || quote_ident(r.table) AS grant
     FROM json_to_recordset($2) r("table" text, "right" text)
     JOIN pg_namespace n ON n.nspname = $1 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.table
     WHERE NOT has_table_privilege(c.oid, r.right)
     UNION ALL
     SELECT 'EXECUTE on function ' || p.proname, 'EXECUTE ON FUNCTION ' || p.oid::regprocedure
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = $1 AND NOT has_function_privilege(p.oid, 'EXECUTE')`,
    [schema, JSON.stringify(tables)],
  );
  if (missing.length === 0) return [];
  const message =
    `The role ${JSON.stringify(role)} has not all rights that the queue needs in schema ${quoted}: ` +
    `${missing.map(({ what }) => what).join(', ')}. The calls that need them fail.`;
  const statements = missing.map(({ grant }) => `GRANT ${grant} TO ${identifier(role)}`);
  return [{ code: 'postgres-rights', severity: 'problem', message, command: psql(...statements) }];
}

async function leaseFindings({ query, schema, queue, lease }: DiagnosisOptions): Promise<QueueFinding[]> {
  const quoted = identifier(schema);
  const rows = await query<{ name: string; count: number }>(
    `SELECT g.name, sum(cardinality(c.places))::double precision AS count
     FROM ${quoted}.queues q JOIN ${quoted}.groups g ON g.queue = q.id JOIN ${quoted}.consumers m ON m.grp = g.id
     JOIN ${quoted}.claims c ON c.grp = g.id AND c.consumer = m.id
     WHERE q.name = $1 AND m.expires < clock_timestamp() - $2 * interval '1 ms' GROUP BY 1 ORDER BY 1`,
    [queue, lease],
  );
  return rows.map(({ name, count }) => ({
    code: 'postgres-stuck-leases',
    severity: 'problem',
    message:
      `Group ${JSON.stringify(fromText(name))} of queue ${JSON.stringify(fromText(queue))} has ${messages(count)} in flight whose leases ` +
      'ended longer than a lease ago. No other consumer has taken them. Start a consumer of the group: it takes them.',
  }));
}

async function quarantineFindings(
  { query, schema, queue }: DiagnosisOptions,
  { role }: Settings,
): Promise<QueueFinding[]> {
  const table = `${identifier(schema)}.quarantine`;
  const [right] = await query<{ has: boolean }>(`SELECT has_table_privilege($1, 'SELECT') AS has`, [table]);
  if (right?.has !== true)
    return [
      {
        code: 'postgres-quarantine-refused',
        severity: 'note',
        message: `The role ${JSON.stringify(role)} may not read the table ${table}, so the number of messages in quarantine is not known.`,
        command: psql(`GRANT SELECT ON ${table} TO ${identifier(role)}`),
      },
    ];
  const [row] = await query<{ count: number }>(
    `SELECT count(*)::double precision AS count FROM ${table} WHERE queue = $1`,
    [queue],
  );
  const count = Number(row?.count ?? 0);
  if (count === 0) return [];
  const message =
    `Queue ${JSON.stringify(fromText(queue))} has ${messages(count)} in quarantine: they are invalid, or consumers have given ` +
    'them up. They stay there until somebody deletes them.';
  const command = psql(`SELECT * FROM ${table} WHERE queue = ${literal(queue)}`);
  return [{ code: 'postgres-quarantine', severity: 'problem', message, command }];
}

function messages(count: number): string {
  return `${count} ${count === 1 ? 'message' : 'messages'}`;
}
