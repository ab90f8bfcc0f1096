export { type Forwarder, forward } from '../consumer/forward.js';
export type { Queryable } from './database.js';
export { migrations } from './migrations.js';
export type { PostgresBackendOptions } from './options.js';
export { PostgresBackend, type PostgresFromEnvOptions, type TransactionalPublisher } from './postgres-backend.js';
