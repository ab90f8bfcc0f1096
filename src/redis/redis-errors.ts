import { type ErrorKind, type ErrorRules, isTlsMismatch } from '../core/engine-errors.js';
import { queueKeys } from './keys.js';

/**
 * What a server puts before the word that says why. Before version 7 it tells where a script was refused a command: briefly where the script returned the error,
 * at length where the error ended the script.
 */
const BEFORE_WORD = String.raw`^(?:ERR |(?:ERR Error running script \(call to f_[0-9a-f]{40}\): @user_script:\d+: )?@user_script: \d+: -)?`;

/** An answer that begins with one of these words. */
function beginsWith(...words: string[]): RegExp {
  return new RegExp(String.raw`${BEFORE_WORD}(?:${words.join('|')})\b`);
}

/** Answers of a server that does not have the queue, or does not have it any more: it follows another one, or is another node of the cluster. */
const ELSEWHERE = beginsWith('MASTERDOWN', 'READONLY', 'MOVED', 'ASK', 'CLUSTERDOWN');

/** Other answers of a server that may take the same command later. */
const PASSING = beginsWith(
  'LOADING',
  'BUSY',
  'TRYAGAIN',
  'NOREPLICAS',
  'MISCONF',
  'OOM',
  'UNBLOCKED',
  'max number of clients reached',
);

/** What answers is not Redis. */
const NOT_REDIS = /RESP type/;

/** What the errors of node-redis and the replies of a server mean, to a queue. */
export function redisFailures(queue: string): ErrorRules {
  return { broker: 'Redis', classify, explain: (error) => explain(error, queue) };
}

function classify(error: unknown): ErrorKind {
  if (isReply(error)) return PASSING.test(error.message) || isElsewhere(error) ? 'refused' : 'fatal';
  const { message = '' } = error as Error;
  return NOT_REDIS.test(message) || isTlsMismatch(error as Error) ? 'fatal' : 'retryable';
}

/** Whether an error is an answer of the server. Told by the name of its class: the client may come from another copy of its package than ours. */
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

/** Whether an answer says that another server has the queue: a new connection may lead to that one. The command was not executed. */
export function isElsewhere(error: unknown): boolean {
  return isReply(error) && ELSEWHERE.test(error.message);
}

/** Whether the server says that the group is gone, of the queue or of its bell. */
export function isGroupGone(error: unknown): boolean {
  return error instanceof Error && /NOGROUP|UNBLOCKED/.test(error.message);
}

function explain(error: unknown, queue: string): string | undefined {
  const { stream } = queueKeys(queue);
  const message = error instanceof Error ? error.message : '';
  if (/WRONGTYPE/.test(message))
    return `A key of the queue holds something that is not the queue's: "${stream}" has to be a stream or absent, and "${stream}:*" only the queue's`;
  if (/WRONGPASS|NOAUTH|invalid password|AUTH /.test(message))
    return `Redis refused the user or the password: ${message}`;
  if (/NOPERM|user executing the script|ACL failure in script/.test(message))
    return `The user may not do what the queue needs: ${message}`;
  if (/^(?:MOVED|ASK)\b/.test(message))
    return `Another node of the cluster has the queue: ${message}. Hand in a client that createCluster makes`;
  if (NOT_REDIS.test(message)) return `What answers is not a Redis server: ${message}`;
  return undefined;
}
