import { type ErrorKind, isTlsMismatch } from '../core/engine-errors.js';

/** The SQLSTATE of our own functions: the queue or a group is not there. */
const MISSING = 'SLQ01';

/** Tables, functions or the schema are not there: somebody has dropped them. */
const DROPPED = /^(?:42P01|42883|3F000)$/;

/** The client of the URL is not there. */
const NOT_INSTALLED = /^Cannot find (?:package|module) '(pg|@electric-sql\/pglite)'/;

/** The server is shutting down or starting up, or the connection is gone. */
const LOST = /^(?:08|57P)/;

/** Too many connections, no space, a conflict, a lock, a cancelled query, a standby. */
const TEMPORARY = /^(?:40|53|55P03|57014|58|XX|25006|SLQ)/;

/** Whether the server answered with an error: the connection is as good as before. */
export function isAnswer(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && !LOST.test(code);
}

export function isReadOnly(error: unknown): boolean {
  return codeOf(error) === '25006';
}

/**
 * Whether the statement and another transaction had locks that the other one needed. The server has
 * undone the statement.
 */
export function isDeadlock(error: unknown): boolean {
  return codeOf(error) === '40P01';
}

/** Whether the queue has to be created again. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === MISSING || (code !== undefined && DROPPED.test(code));
}

export function classify(error: unknown): ErrorKind {
  const code = codeOf(error);
  if (code === undefined)
    return isTlsMismatch(error as Error) || isSetUpWrongly(error) || NOT_INSTALLED.test((error as Error)?.message)
      ? 'fatal'
      : 'retryable';
  if (LOST.test(code)) return 'retryable';
  return TEMPORARY.test(code) ? 'refused' : 'fatal';
}

/** Explains an error of PostgreSQL. */
export function explain(error: unknown, schema: string): string | undefined {
  const { message } = error as Error;
  const code = codeOf(error) ?? '';
  const [, missing] = NOT_INSTALLED.exec(message) ?? [];
  if (missing !== undefined) return `The package ${missing} is not installed. To install: npm install ${missing}`;
  if (/^28/.test(code) || isSetUpWrongly(error)) return `PostgreSQL refused the user or the password: ${message}`;
  if (code === '3D000') return `The database does not exist: ${message}`;
  if (code === '42501') return `The role may not do what the queue needs: ${message}`;
  if (DROPPED.test(code))
    return `Schema ${JSON.stringify(schema)} does not have the tables of the queue: ${message}. Run the SQL of migrations(), or leave the option \`migrate\` on`;
  return undefined;
}

/** Whether `pg` cannot log in, or cannot agree on TLS with the server. */
function isSetUpWrongly(error: unknown): boolean {
  return /SASL|password must be a string|does not support SSL|SSL connection/.test((error as Error)?.message ?? '');
}

/** The SQLSTATE of an answer of the server. */
export function codeOf(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === 'string' && severity !== undefined ? code : undefined;
}
