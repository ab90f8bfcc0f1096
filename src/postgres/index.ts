/**
 * Contains the queue on PostgreSQL, publishing in transactions, and the outbox.
 *
 * @module
 */

export { type Forwarder, forward } from '../consumer/forward.js';
export { migrations } from './migrations.js';
export type { PostgresBackendOptions } from './options.js';
export { PostgresBackend, type PostgresFromEnvOptions, type TransactionalPublisher } from './postgres-backend.js';
export type { Queryable } from './queryable.js';
