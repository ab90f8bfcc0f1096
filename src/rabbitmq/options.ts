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
  // biome-ignore lint/suspicious/noExplicitAny: any copy of the client will do, and its types are its own
  acquire(options?: any): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  on(event: any, listener: (...args: any[]) => void): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  removeListener(event: any, listener: (...args: any[]) => void): unknown;
}

export interface RabbitMqBackendOptions extends DriverOptions {
  /** The server: `amqp://[user[:password]@]host[:port][/vhost]`, or `amqps://` for TLS. Either this or `client`. */
  readonly url?: string | undefined;
  /**
   * A `Connection` of rabbitmq-client that is used: for certificates, several hosts, a connection that others share. The queue opens channels of its own on
   * it, for publishing and for consuming, and never closes it; it reconnects by itself. Its connection is broken where the server does not close a channel. How soon a dead peer is noticed, its own `heartbeat` decides, not
   * `lease`. Either this or `url`.
   */
  readonly client?: RabbitMqClient | undefined;
  /**
   * How long after the last sign of life of a process its messages go to another, in milliseconds, from 100 to 2³¹ - 1. It sets the heartbeat of the
   * connections to a third of it, in whole seconds, at least one and at most what the server wants: a dead peer is noticed within two heartbeats, so never in
   * less than two seconds. A connection that is closed is noticed at once. Live consumers keep their messages however long a handler takes, unless it blocks the
   * event loop for as long. Default: 30,000.
   */
  readonly lease?: number | undefined;
}

export interface CheckedRabbitMqOptions extends CheckedDriverOptions {
  readonly server: { readonly url: string } | { readonly client: RabbitMqClient };
}

/** @throws {TypeError | RangeError} for an option without sense; it names the option */
export function checkRabbitMqOptions(options: RabbitMqBackendOptions | undefined): CheckedRabbitMqOptions {
  const given = checkOptions(options);
  return { server: checkServer(given, { ...RABBITMQ_URL, checkClient }), ...checkDriverOptions(given) };
}

/** Reads RABBITMQ_URL, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE and QUEUE_PUBLISH_TIMEOUT. */
export function readRabbitMqEnv(env: Env): RabbitMqBackendOptions {
  return readDriverEnv(env, 'RABBITMQ_URL', RABBITMQ_URL);
}

function checkClient(client: RabbitMqClient): void {
  checkMethods('client', client, ['acquire', 'on', 'removeListener']);
}
