import { type ErrorKind, type ErrorRules, isTlsMismatch } from '../core/engine-errors.js';

const STREAM_NOT_FOUND = 10059;
const CONSUMER_NOT_FOUND = 10014;
const CONSUMER_LIMIT = 10026;
/** The server rejects the configuration of a stream, such as a window above its limit. */
const INVALID_CONFIGURATION = 10052;
/** Another stream or consumer has the name, or another stream has some of the subjects. */
const NAME_TAKEN = [10058, 10065, 10013, 10105, 10148];
/** JetStream is not enabled on the server, or not for the account. */
const NOT_ENABLED = [10076, 10039];

/**
 * The codes whose status says the wrong thing about the next attempt.
 * @see https://github.com/nats-io/nats-server/blob/main/server/errors.json
 */
const KINDS: ReadonlyMap<number | undefined, ErrorKind> = new Map<number, ErrorKind>([
  // The error passes: consumers free space, a server returns, another request ends.
  [10002, 'refused'], // resource limits exceeded for account
  [10005, 'refused'], // no suitable peers for placement
  [10124, 'refused'], // stream move in progress
  [10158, 'refused'], // a message with this id is being stored
  [10202, 'refused'], // cluster member change in progress
  [10226, 'refused'], // stream reconfiguration in progress
  // The queue creates what is missing.
  [CONSUMER_NOT_FOUND, 'refused'],
  [STREAM_NOT_FOUND, 'refused'],
  [10149, 'refused'], // consumer does not exist
  // JetStream was switched off. Another server of the cluster may have it.
  [10076, 'retryable'],
  // The error lasts until the options, the server or the account change.
  [10010, 'fatal'], // clustering required
  [10028, 'fatal'], // no memory for a stream
  [10036, 'fatal'], // not supported in clustered mode
  [10047, 'fatal'], // no storage for a stream
  [INVALID_CONFIGURATION, 'fatal'],
  [10074, 'fatal'], // replicas without a cluster
]);

const SERVER_ERROR = 500;
const TOO_MANY_REQUESTS = 429;

/** Each group is a consumer. From 2.15 on, a server has a limit of its own. */
const RAISE_LIMIT =
  'Delete unused groups (nats consumer rm), or raise max_consumers of the stream or the account, or default_max_consumers of the server';

/** The server is not NATS, or client and server do not agree on TLS. */
const NOT_NATS =
  /secure connection required|server does not support 'tls'|is not available on this server|unexpected response from server/i;

export const NATS_FAILURES: ErrorRules = { engine: 'NATS', classify, explain };

/** JetStream refuses a request for now. */
export class RefusedError extends Error {}

interface ApiError extends Error {
  readonly code: number;
  readonly status: number;
}

function classify(error: unknown): ErrorKind {
  if (error instanceof RefusedError) return 'refused';
  if (isApiError(error)) return kindOfCode(error.code, error.status);
  if (isRefusedLogin(error) || isForbidden(error)) return 'fatal';
  if (isTlsMismatch(error as Error) || NOT_NATS.test((error as Error).message)) return 'fatal';
  return isNamed(error, 'TimeoutError', 'JetStreamNotEnabled') ? 'refused' : 'retryable';
}

/** @param status as of HTTP, which decides for other codes */
export function kindOfCode(code: number | undefined, status: number): ErrorKind {
  return KINDS.get(code) ?? (status >= SERVER_ERROR || status === TOO_MANY_REQUESTS ? 'refused' : 'fatal');
}

function explain(error: unknown): string | undefined {
  const message = error instanceof Error ? error.message : '';
  if (isRefusedLogin(error)) return `NATS refused the user, the password or the token: ${message}`;
  if (isForbidden(error)) return `The user may not do what the queue needs: ${message}`;
  if (isConsumerLimit(error)) return `JetStream refuses: ${message}. ${RAISE_LIMIT}`;
  if (isApiError(error)) return `JetStream refuses: ${message}`;
  return undefined;
}

export function isNotFound(error: unknown): boolean {
  return hasCode(error, STREAM_NOT_FOUND, CONSUMER_NOT_FOUND);
}

export function isStreamMissing(code: number | undefined): boolean {
  return code === STREAM_NOT_FOUND;
}

export function isTaken(error: unknown): boolean {
  return hasCode(error, ...NAME_TAKEN);
}

export function isInvalidConfiguration(error: unknown): boolean {
  return hasCode(error, INVALID_CONFIGURATION);
}

export function isConsumerLimit(error: unknown): boolean {
  return hasCode(error, CONSUMER_LIMIT);
}

/** Whether JetStream is not enabled, or has not started yet. */
export function isWithoutJetStream(error: unknown): boolean {
  return isNamed(error, 'JetStreamNotEnabled') || hasCode(error, ...NOT_ENABLED);
}

/** Whether the user lacks a permission. A failed request has the refusal as its cause. */
export function isForbidden(error: unknown): boolean {
  const cause = isNamed(error, 'RequestError') ? error.cause : error;
  return isNamed(cause, 'PermissionViolationError');
}

function isRefusedLogin(error: unknown): boolean {
  return isNamed(error, 'AuthorizationError', 'UserAuthenticationExpiredError');
}

function hasCode(error: unknown, ...codes: number[]): boolean {
  return isApiError(error) && codes.includes(error.code);
}

function isApiError(error: unknown): error is ApiError {
  return isNamed(error, 'JetStreamApiError', 'StreamNotFoundError', 'ConsumerNotFoundError');
}

/** Compares names, since the client may come from another copy of its package. */
function isNamed(error: unknown, ...names: string[]): error is Error {
  return error instanceof Error && names.includes(error.name);
}
