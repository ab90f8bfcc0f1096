import type { Channel, Requeue } from './client.js';

/**
 * The private parts of rabbitmq-client 5.0 that this library uses. package.json allows only this
 * version as a peer, and `client-internals.spec.ts` fails if they change. If one is missing, its
 * function returns `undefined`, and the queue works without it.
 */
interface Internals {
  readonly _opt?: { readonly vhost?: unknown };
  readonly _socket?: ClientSocket;
  readonly _state?: { readonly frameMax?: number; readonly channelMax?: number; readonly readyState?: number };
}

export interface ClientSocket {
  readonly bytesRead?: number;
  read?: (size?: number) => unknown;
  cork?: () => void;
  uncork?: () => void;
  destroy?: (cause: unknown) => void;
}

/** The `readyState` of a client that connects. */
const CONNECTING = 0;

/** The client identifies `basic.reject` by its class, 60, and its method, 90. */
const BASIC_REJECT = 60 * 2 ** 16 + 90;

/** The socket of the current connection. Each connection of a client has another one. */
export function socketOf(client: object): ClientSocket | undefined {
  return (client as Internals)._socket;
}

/** The most bytes of a frame, by the handshake or, before it, by the option of the client. */
export function frameMaxOf(client: object): number | undefined {
  return (client as Internals)._state?.frameMax;
}

/** How many channels the connection may have. */
export function channelMaxOf(client: object): number | undefined {
  return (client as Internals)._state?.channelMax;
}

/** Use this instead of `ready`, which is also `false` while the socket is corked. */
export function isConnecting(client: object): boolean {
  return (client as Internals)._state?.readyState === CONNECTING;
}

export function vhostOf(client: object): string | undefined {
  const vhost = (client as Internals)._opt?.vhost;
  return typeof vhost === 'string' ? vhost : undefined;
}

/** Sends `basic.reject`, for which the client has no method. Returns false if that fails. */
export function reject(channel: Channel, delivery: Requeue): boolean {
  const internals = channel as { _invokeNowait?: (method: number, options: Requeue) => void };
  internals._invokeNowait?.(BASIC_REJECT, delivery);
  return internals._invokeNowait !== undefined;
}
