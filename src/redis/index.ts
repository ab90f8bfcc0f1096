/**
 * Contains the queue on Redis Streams.
 *
 * @module
 */

export type { RedisBackendOptions, RedisClientTemplate } from './options.js';
export { RedisBackend, type RedisFromEnvOptions } from './redis-backend.js';
