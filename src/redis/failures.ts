import { BackendUnavailableError, SluiceError } from '../errors.js';
import { describeError } from '../internal/describe.js';
import { queueKeys } from './keys.js';

/** The connection was lost, or there was none. What was sent may have been carried out. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** No attempt can succeed: something about the options is wrong. */
export class HopelessError extends Error {
  override readonly name = 'HopelessError';
}

/** Answers of a server that may take the same command later. The word is the first of the reply; before version 7 a script puts its own words before it. */
const PASSING =
  /^(?:ERR )?(?:LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|READONLY|NOREPLICAS|MISCONF|OOM|UNBLOCKED|max number of clients reached)\b/;

/** Errors on the way to a server that no second attempt mends: what answers is not Redis, or the two do not agree on TLS. */
const HOPELESS = /RESP type|^ERR_TLS|^ERR_SSL|CERT|SELF_SIGNED|^UNABLE_TO_/;

/** What a failed command or connection says about the next attempt. */
export type Outlook =
  /** The connection is gone: send it again over the next one. */
  | 'lost'
  /** The server refuses for now. */
  | 'refused'
  /** It will fail again until somebody changes something. */
  | 'hopeless';

export function outlookOf(error: unknown): Outlook {
  if (error instanceof ConnectionLostError) return 'lost';
  if (error instanceof HopelessError || (BackendUnavailableError.is(error) && !error.retryable)) return 'hopeless';
  if (isReply(error)) return PASSING.test(error.message) ? 'refused' : 'hopeless';
  const { code = '', message = '' } = error as NodeJS.ErrnoException;
  return HOPELESS.test(code) || HOPELESS.test(message) ? 'hopeless' : 'lost';
}

/** Whether an error is an answer of the server. Told by the name of its class: the client may come from another copy of its package than ours. */
export function isReply(error: unknown): error is Error {
  for (let type = (error as Error | undefined)?.constructor; typeof type === 'function'; type = Object.getPrototypeOf(type)) {
    if (type.name === 'ErrorReply') return true;
  }
  return false;
}

/** An error of the client, in the terms of this library. */
export function unavailable(error: unknown, { where, queue }: { where: string; queue: string }): SluiceError {
  if (SluiceError.is(error)) return error;
  const retryable = outlookOf(error) !== 'hopeless';
  return new BackendUnavailableError(`${explain(error, queue)} (queue "${queue}", Redis at ${where})`, { cause: error, retryable });
}

function explain(error: unknown, queue: string): string {
  const { stream } = queueKeys(queue);
  const message = error instanceof Error ? error.message : '';
  if (/WRONGTYPE/.test(message))
    return `A key of the queue holds something that is not the queue's: "${stream}" has to be a stream or absent, and "${stream}:*" only the queue's`;
  if (/WRONGPASS|NOAUTH|invalid password|AUTH /.test(message)) return `Redis refused the user or the password: ${message}`;
  if (/NOPERM|user executing the script|ACL failure in script/.test(message)) return `The user may not do what the queue needs: ${message}`;
  if (/RESP type/.test(message)) return `What answers is not a Redis server: ${message}`;
  if (error instanceof HopelessError) return `Redis cannot be used: ${describeError(error.cause)}`;
  if (error instanceof ConnectionLostError) return `${message}${error.cause === undefined ? '' : ` (${describeError(error.cause)})`}`;
  return `Redis cannot be used: ${describeError(error)}`;
}
