/**
 * Contains the queue on RabbitMQ.
 *
 * @module
 */

export type { RabbitMqBackendOptions, RabbitMqClient } from './options.js';
export { RabbitMqBackend, type RabbitMqFromEnvOptions } from './rabbitmq-backend.js';
