import administration from './sql/administration.sql';
import functions from './sql/functions.sql';
import tables from './sql/tables.sql';

/**
 * The statements of each version, in order. A released version never changes. A later one keeps the
 * functions that earlier versions of this library call.
 */
const VERSIONS: readonly string[] = [tables + functions + administration];

/** The version of the tables that this library needs. */
export const VERSION: number = VERSIONS.length;

/** How the functions find their tables and plan: by the indexes, also before the first ANALYZE. */
const SETTINGS = `SET search_path = {schema}, pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off`;

/** A lock of the migration alone. Its transaction ends it. */
const LOCK = 0x736c75696365;

/** Quotes a name for SQL. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * Returns the SQL that creates the tables and functions of all queues, for who runs migrations by
 * hand (`migrate: false`). One statement for each version, in order. A statement that has run
 * before does nothing, also if several processes run it at once.
 * @param schema where the tables are. Default: `sluice`
 */
export function migrations(schema = 'sluice'): string[] {
  const quoted = identifier(schema);
  const literal = `'${schema.replaceAll("'", "''")}'`;
  return VERSIONS.map(
    (statements, index) => `DO $sluice$
DECLARE
  path text := current_setting('search_path');
BEGIN
PERFORM pg_advisory_xact_lock(${LOCK});
IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = ${literal}) THEN CREATE SCHEMA ${quoted}; END IF;
PERFORM set_config('search_path', quote_ident(${literal}), true);
CREATE TABLE IF NOT EXISTS version (number integer PRIMARY KEY);
IF NOT EXISTS (SELECT FROM version WHERE number = ${index + 1}) THEN
${statements.replaceAll('SETTINGS AS', () => `${SETTINGS.replace('{schema}', () => quoted)} AS`)}
INSERT INTO version VALUES (${index + 1});
END IF;
PERFORM set_config('search_path', path, true);
END $sluice$`,
  );
}
