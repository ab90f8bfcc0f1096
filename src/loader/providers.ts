import type { Env } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';

/** What makes a backend out of the environment: the class of one, as a rule. */
interface FromEnv {
  fromEnv(env: Env, options: { readonly logger: Logger }): unknown;
}

/** A backend that is built in. */
export interface Provider {
  /** The packages of its client, all of which have to be installed. */
  readonly clients: readonly string[];
  /** Rejects when a client is not installed. */
  load(): Promise<FromEnv>;
}

/** Every backend that is built in, by the name that QUEUE_BACKEND gives it. */
export const providers: ReadonlyMap<string, Provider> = new Map<string, Provider>([
  ['memory', { clients: [], load: async () => (await import('../memory/memory-backend.js')).MemoryBackend }],
  [
    'nats',
    { clients: ['@nats-io/jetstream', '@nats-io/transport-node'], load: () => loadClass('sluice/nats', 'NatsBackend') },
  ],
  ['rabbitmq', { clients: ['rabbitmq-client'], load: () => loadClass('sluice/rabbitmq', 'RabbitMqBackend') }],
  ['redis', { clients: ['redis'], load: () => loadClass('sluice/redis', 'RedisBackend') }],
]);

/**
 * Loads a class from a subpath of this package. It is not written as `import('sluice/redis')`, because bundlers would follow that, into a client that is not
 * installed or that no browser can run. In the CommonJS build this is a `require` (see rollup.config.mjs), so that an application gets the class that it
 * would get by requiring the subpath itself.
 */
async function loadClass(subpath: string, name: string): Promise<FromEnv> {
  const module = await import(/* webpackIgnore: true */ /* @vite-ignore */ subpath);
  return module[name];
}
