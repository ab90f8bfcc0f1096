import type { ErrorKind } from '../core/engine-errors.js';

/**
 * What JetStream's error codes say about the next attempt, as far as a queue meets them. The status that comes with a code does not tell: a full account has that of a bad request, a
 * setting above a limit that of a failing server.
 * @see https://github.com/nats-io/nats-server/blob/main/server/errors.json
 */
const OUTLOOKS: ReadonlyMap<number, ErrorKind> = new Map<number, ErrorKind>([
  // The error passes: consumers free space, a cluster elects a leader, servers come back, another request ends.
  [10002, 'refused'], // resource limits exceeded for account
  [10004, 'refused'], // incomplete results
  [10005, 'refused'], // no suitable peers for placement
  [10007, 'refused'], // cluster not assigned to this server
  [10008, 'refused'], // system temporarily unavailable
  [10009, 'refused'], // cluster can not handle request: not the leader
  [10012, 'refused'], // consumer creation failed
  [10023, 'refused'], // insufficient resources: the server is full
  [10035, 'refused'], // account not found
  [10039, 'refused'], // not enabled for account
  [10041, 'refused'], // RAFT
  [10048, 'refused'], // stream assignment
  [10049, 'refused'], // stream creation failed
  [10051, 'refused'], // general stream failure
  [10053, 'refused'], // stream limits
  [10075, 'refused'], // peer remap failed
  [10077, 'refused'], // the stream does not store the message: it is full, or its disk is
  [10104, 'refused'], // creating the store of a consumer failed
  [10118, 'refused'], // stream is offline
  [10119, 'refused'], // consumer is offline
  [10124, 'refused'], // stream move in progress
  [10158, 'refused'], // a message of that id is being stored
  [10167, 'refused'], // too many requests
  [10202, 'refused'], // cluster member change in progress
  [10226, 'refused'], // stream reconfiguration in progress

  // What is not there is made.
  [10014, 'refused'], // consumer not found
  [10059, 'refused'], // stream not found
  [10149, 'refused'], // consumer does not exist

  // The server has switched JetStream off. Another one of the cluster may have it.
  [10076, 'retryable'], // JetStream not enabled

  // A second attempt fails, too, until the options, the server or the account change.
  [10003, 'fatal'], // bad request
  [10010, 'fatal'], // clustering required
  [10013, 'fatal'], // consumer name in use
  [10025, 'fatal'], // invalid JSON
  [10026, 'fatal'], // maximum of consumers
  [10027, 'fatal'], // maximum of streams
  [10028, 'fatal'], // no memory for a stream
  [10036, 'fatal'], // not supported in clustered mode
  [10047, 'fatal'], // no storage for a stream
  [10052, 'fatal'], // invalid configuration of a stream: a duplicate window above the limit
  [10054, 'fatal'], // message too large
  [10058, 'fatal'], // stream name in use with another configuration
  [10065, 'fatal'], // subjects of another stream
  [10074, 'fatal'], // replicas without a cluster
  [10097, 'fatal'], // headers too large
  [10105, 'fatal'], // consumer exists and is active
  [10109, 'fatal'], // stream is sealed
  [10113, 'fatal'], // account requires a maximum of bytes
  [10120, 'fatal'], // no limits for so many replicas
  [10121, 'fatal'], // too many acks pending
  [10122, 'fatal'], // maximum of bytes above the limit
  [10148, 'fatal'], // consumer exists
]);

/** The status from which an error is the server's own, and that of too many requests: codes that this table does not have may pass then. */
const SERVER_ERROR = 500;
const TOO_MANY = 429;

/** @param code of JetStream's @param status as of HTTP, for a code that is not known */
export function kindOfCode(code: number | undefined, status: number): ErrorKind {
  const known = code === undefined ? undefined : OUTLOOKS.get(code);
  return known ?? (status >= SERVER_ERROR || status === TOO_MANY ? 'refused' : 'fatal');
}
