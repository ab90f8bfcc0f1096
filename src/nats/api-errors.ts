import type { Outlook } from '../broker/failures.js';

/**
 * What JetStream's error codes say about the next attempt, as far as a queue meets them. The status that comes with a code does not tell: a full account has that of a bad request, a
 * setting above a limit that of a failing server.
 * @see https://github.com/nats-io/nats-server/blob/main/server/errors.json
 */
const OUTLOOKS: ReadonlyMap<number, Outlook> = new Map<number, Outlook>([
  // It passes: consumers make room, a cluster elects a leader, servers come back, somebody finishes what is being done.
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
  [10076, 'lost'], // JetStream not enabled

  // Somebody has to change the options, the server or the account.
  [10003, 'hopeless'], // bad request
  [10010, 'hopeless'], // clustering required
  [10013, 'hopeless'], // consumer name in use
  [10025, 'hopeless'], // invalid JSON
  [10026, 'hopeless'], // maximum of consumers
  [10027, 'hopeless'], // maximum of streams
  [10028, 'hopeless'], // no memory for a stream
  [10036, 'hopeless'], // not supported in clustered mode
  [10047, 'hopeless'], // no storage for a stream
  [10052, 'hopeless'], // invalid configuration of a stream: a duplicate window above the limit
  [10054, 'hopeless'], // message too large
  [10058, 'hopeless'], // stream name in use with another configuration
  [10065, 'hopeless'], // subjects of another stream
  [10074, 'hopeless'], // replicas without a cluster
  [10097, 'hopeless'], // headers too large
  [10105, 'hopeless'], // consumer exists and is active
  [10109, 'hopeless'], // stream is sealed
  [10113, 'hopeless'], // account requires a maximum of bytes
  [10120, 'hopeless'], // no limits for so many replicas
  [10121, 'hopeless'], // too many acks pending
  [10122, 'hopeless'], // maximum of bytes above the limit
  [10148, 'hopeless'], // consumer exists
]);

/** The status from which an error is the server's own, and that of too many requests: codes that this table does not have may pass then. */
const SERVER_ERROR = 500;
const TOO_MANY = 429;

/** @param code of JetStream's @param status as of HTTP, for a code that is not known */
export function outlookOfCode(code: number | undefined, status: number): Outlook {
  const known = code === undefined ? undefined : OUTLOOKS.get(code);
  return known ?? (status >= SERVER_ERROR || status === TOO_MANY ? 'refused' : 'hopeless');
}
