import { type ErrorKind, type ErrorRules, isTlsMismatch } from '../core/engine-errors.js';
import { queueKeys } from './keys.js';

/**
 * The text before an error code. Before version 7, it names the line of a script whose command
 * failed: briefly if the script returned the error, at length if the error ended the script.
 */
const BEFORE_CODE = String.raw`^(?:ERR |(?:ERR Error running script \(call to f_[0-9a-f]{40}\): @user_script:\d+: )?@user_script: \d+: -)?`;

function hasCode(...codes: string[]): RegExp {
  return new RegExp(String.raw`${BEFORE_CODE}(?:${codes.join('|')})\b`);
}

/** Replies of a server without the queue: a replica, or another node of the cluster. */
const ELSEWHERE = hasCode('MASTERDOWN', 'READONLY', 'MOVED', 'ASK', 'CLUSTERDOWN');

/** Other replies of a server that may accept the command later. */
const TEMPORARY = hasCode(
  'LOADING',
  'BUSY',
  'TRYAGAIN',
  'NOREPLICAS',
  'MISCONF',
  'OOM',
  'UNBLOCKED',
  'max number of clients reached',
);

/** The error of node-redis if the server does not speak the protocol of Redis. */
const NOT_REDIS = /RESP type/;

/** Interprets the errors of node-redis and the error replies of a server. */
export function redisFailures(queue: string): ErrorRules {
  return { engine: 'Redis', classify, explain: (error) => explain(error, queue) };
}

function classify(error: unknown): ErrorKind {
  if (isReply(error)) return TEMPORARY.test(error.message) || isElsewhere(error) ? 'refused' : 'fatal';
  const { message = '' } = error as Error;
  return NOT_REDIS.test(message) || isTlsMismatch(error as Error) ? 'fatal' : 'retryable';
}

/**
 * Whether an error is a reply of the server. Checks the name of the class, because the client may
 * come from another copy of node-redis.
 */
export function isReply(error: unknown): error is Error {
  for (
    let type = (error as Error | undefined)?.constructor;
    typeof type === 'function';
    type = Object.getPrototypeOf(type)
  ) {
    if (type.name === 'ErrorReply') return true;
  }
  return false;
}

/** Whether another server has the queue. The command was not executed. */
export function isElsewhere(error: unknown): boolean {
  return isReply(error) && ELSEWHERE.test(error.message);
}

/** Whether the group of the queue, or that of its wake stream, was deleted. */
export function isGroupGone(error: unknown): boolean {
  return error instanceof Error && /NOGROUP|UNBLOCKED/.test(error.message);
}

function explain(error: unknown, queue: string): string | undefined {
  const { stream } = queueKeys(queue);
  const message = error instanceof Error ? error.message : '';
  if (/WRONGTYPE/.test(message))
    return `A key of the queue has another type: "${stream}" must be a stream or absent, and "${stream}:*" must belong to the queue`;
  if (/WRONGPASS|NOAUTH|invalid password|AUTH /.test(message))
    return `Redis refused the user or the password: ${message}`;
  if (/NOPERM|user executing the script|ACL failure in script/.test(message))
    return `The user may not do what the queue needs: ${message}`;
  if (/^(?:MOVED|ASK)\b/.test(message))
    return `Another node of the cluster has the queue: ${message}. Hand in a client that createCluster makes`;
  if (NOT_REDIS.test(message)) return `The server is not a Redis server: ${message}`;
  return undefined;
}
