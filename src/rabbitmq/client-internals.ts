import type { Channel, Requeue } from './client.js';

/**
 * What this library uses of rabbitmq-client 5.0 beyond its public interface. package.json admits
 * only these versions as a peer, and `client-internals.spec.ts` fails with a version that has
 * changed.
 *
 * Where the client hides something, the functions return `undefined`, and the queue does without
 * it.
 */
interface Internals {
  readonly _opt?: { readonly vhost?: unknown };
  readonly _socket?: ClientSocket;
  readonly _state?: { readonly frameMax?: number; readonly channelMax?: number; readonly readyState?: number };
}

/** The socket of a client. */
export interface ClientSocket {
  readonly bytesRead?: number;
  read?: (size?: number) => unknown;
  cork?: () => void;
  uncork?: () => void;
  destroy?: (cause: unknown) => void;
}

/** The state of a client that has no connection yet, and makes one. */
const CONNECTING = 0;

/** How the client identifies `basic.reject`: by its class, 60, and its method, 90. */
const BASIC_REJECT = 60 * 2 ** 16 + 90;

/** Returns the socket of the current connection. Each connection of a client has another one. */
export function socketOf(client: object): ClientSocket | undefined {
  return (client as Internals)._socket;
}

/**
 * Returns how many bytes a frame may have: as the client and the server have agreed, or as the
 * client was told before. The client does not obey what they agreed, but sends frames as large as
 * it was told.
 */
export function frameMaxOf(client: object): number | undefined {
  return (client as Internals)._state?.frameMax;
}

/**
 * Returns how many channels the connection has. The client offers no other way to learn that none
 * is left than to open one.
 */
export function channelMaxOf(client: object): number | undefined {
  return (client as Internals)._state?.channelMax;
}

/**
 * Returns whether the client is connecting. Its `ready` is also `false` while the socket is corked.
 */
export function isConnecting(client: object): boolean {
  return (client as Internals)._state?.readyState === CONNECTING;
}

export function vhostOf(client: object): string | undefined {
  const vhost = (client as Internals)._opt?.vhost;
  return typeof vhost === 'string' ? vhost : undefined;
}

/**
 * Rejects a delivery, which requeues it. From version 4.3 on, RabbitMQ counts a reject toward a
 * `delivery-limit`, but not a nack. The client has no method for `basic.reject`, though it can
 * write one. Returns whether it did.
 */
export function reject(channel: Channel, delivery: Requeue): boolean {
  const internals = channel as { _invokeNowait?: (method: number, options: Requeue) => void };
  internals._invokeNowait?.(BASIC_REJECT, delivery);
  return internals._invokeNowait !== undefined;
}
