import { type ErrorKind, type ErrorRules, isTlsMismatch } from '../core/engine-errors.js';
import { kindOfCode } from './api-errors.js';

/** The codes of the API for what does not exist. */
const STREAM_NOT_FOUND = 10059;
const CONSUMER_NOT_FOUND = 10014;

/** What it answers where a stream or a consumer of that name has another configuration, or another stream some of the subjects. */
const NAME_TAKEN = new Set([10058, 10065, 10013, 10105, 10148]);

/** The server refuses the configuration of a stream, such as a window above its limit. */
const CONFIGURATION_REFUSED = 10052;

/** What it answers where the stream or the account has as many consumers as it may have. */
const CONSUMER_LIMIT = 10026;

/** What a server answers that has no JetStream, or none for the account. */
const NOT_ENABLED = new Set([10076, 10039]);

/** Each group is a consumer. From 2.15 on, a server has a limit of its own. */
const RAISE_LIMIT =
  'Delete unused groups (nats consumer rm), or raise max_consumers of the stream or the account, or default_max_consumers of the server';

/** What answers is not NATS, or the two do not agree on TLS. */
const NOT_NATS =
  /secure connection required|server does not support 'tls'|is not available on this server|unexpected response from server/i;

/** What the errors of the client and of JetStream mean. */
export const NATS_FAILURES: ErrorRules = { engine: 'NATS', classify, explain };

/** JetStream refuses a request for now. */
export class RefusedError extends Error {}

/** An answer of JetStream's API, as the client throws it. */
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

/** Whether the stream or the consumer is not there. */
export function isNotFound(error: unknown): boolean {
  return isApiError(error) && (error.code === STREAM_NOT_FOUND || error.code === CONSUMER_NOT_FOUND);
}

/** Whether an error code of the API says that the stream is not there. */
export function isStreamMissing(code: number | undefined): boolean {
  return code === STREAM_NOT_FOUND;
}

/** Whether there is another stream or consumer of that name. */
export function isTaken(error: unknown): boolean {
  return isApiError(error) && NAME_TAKEN.has(error.code);
}

/** Whether the server refuses a configuration of the stream. */
export function isConfigurationRefused(error: unknown): boolean {
  return isApiError(error) && error.code === CONFIGURATION_REFUSED;
}

/** Whether the stream has as many consumers as it may have. */
export function isConsumerLimit(error: unknown): boolean {
  return isApiError(error) && error.code === CONSUMER_LIMIT;
}

/** Whether JetStream is not enabled, or not up yet. */
export function isWithoutJetStream(error: unknown): boolean {
  return isNamed(error, 'JetStreamNotEnabled') || (isApiError(error) && NOT_ENABLED.has(error.code));
}

function explain(error: unknown): string | undefined {
  const message = error instanceof Error ? error.message : '';
  if (isRefusedLogin(error)) return `NATS refused the user, the password or the token: ${message}`;
  if (isForbidden(error)) return `The user may not do what the queue needs: ${message}`;
  if (isConsumerLimit(error)) return `JetStream refuses: ${message}. ${RAISE_LIMIT}`;
  if (isApiError(error)) return `JetStream refuses: ${message}`;
  return undefined;
}

function isApiError(error: unknown): error is ApiError {
  return isNamed(error, 'JetStreamApiError', 'StreamNotFoundError', 'ConsumerNotFoundError');
}

function isRefusedLogin(error: unknown): boolean {
  return isNamed(error, 'AuthorizationError', 'UserAuthenticationExpiredError');
}

/** A request fails with an error of its own, which has the refusal as its cause. */
export function isForbidden(error: unknown): boolean {
  return (
    isNamed(error, 'PermissionViolationError') ||
    (isNamed(error, 'RequestError') && isNamed(error.cause, 'PermissionViolationError'))
  );
}

/** Told by its name: the client may come from another copy of its package than ours. */
function isNamed(error: unknown, ...names: string[]): error is Error {
  return error instanceof Error && names.includes(error.name);
}
