import {
  type CheckedDriverOptions,
  checkDriverOptions,
  checkServer,
  type DriverOptions,
  readDriverEnv,
} from '../core/options.js';
import type { Env } from '../internal/environment.js';
import { checkMethods, checkOptions } from '../internal/options.js';
import { RABBITMQ_URL } from './url.js';

/** A `Connection` of rabbitmq-client. */
export interface RabbitMqClient {
  // biome-ignore lint/suspicious/noExplicitAny: every copy of the client has its own types
  acquire(options?: any): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  on(event: any, listener: (...args: any[]) => void): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  removeListener(event: any, listener: (...args: any[]) => void): unknown;
}

/** The options of `RabbitMqBackend`: those of all engines, and how to reach the server. */
export interface RabbitMqBackendOptions extends DriverOptions {
  /**
   * The server: `amqp://[user[:password]@]host[:port][/vhost]`, or `amqps://` for TLS. Either this
   * or `client`.
   */
  readonly url?: string | undefined;
  /**
   * A `Connection` of rabbitmq-client 5.0: for certificates, several hosts, or a connection that
   * other code shares. The queue opens its own channels on it and never closes it. The client
   * reconnects by itself. If the server does not close a channel, the queue breaks the connection.
   * The client's `heartbeat` decides how soon a dead peer is noticed, not `lease`. Either this or
   * `url`.
   */
  readonly client?: RabbitMqClient | undefined;
  /**
   * How long after the death of a process its messages are redelivered to another, in milliseconds,
   * from 100 to 2³¹ - 1. A third of it, in whole seconds, is the heartbeat of the connections, at
   * least one second and at most what the server wants. A dead peer is noticed within two
   * heartbeats, a closed connection at once. A live consumer keeps its messages, however long its
   * handlers run, unless one blocks the event loop for longer than the lease. Default: 30,000.
   */
  readonly lease?: number | undefined;
}

export interface CheckedRabbitMqOptions extends CheckedDriverOptions {
  readonly server: { readonly url: string } | { readonly client: RabbitMqClient };
}

/** @throws {TypeError | RangeError} if an option is invalid. The message names the option. */
export function checkRabbitMqOptions(options: RabbitMqBackendOptions | undefined): CheckedRabbitMqOptions {
  const given = checkOptions(options);
  return { server: checkServer(given, { ...RABBITMQ_URL, checkClient }), ...checkDriverOptions(given) };
}

/** Reads RABBITMQ_URL and the variables of every engine. */
export function readRabbitMqEnv(env: Env): RabbitMqBackendOptions {
  return readDriverEnv(env, 'RABBITMQ_URL', RABBITMQ_URL);
}

function checkClient(client: RabbitMqClient): void {
  checkMethods('client', client, ['acquire', 'on', 'removeListener']);
}
