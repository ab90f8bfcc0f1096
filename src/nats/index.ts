/**
 * Contains the queue on NATS JetStream.
 *
 * @module
 */

export { NatsBackend, type NatsFromEnvOptions } from './nats-backend.js';
export type { NatsBackendOptions, NatsClient } from './options.js';
