export { NatsBackend, type NatsFromEnvOptions } from './nats-backend.js';
export type { NatsBackendOptions } from './options.js';
