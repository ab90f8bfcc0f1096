// biome-ignore-all format: one row a line
/** The built-in engines that need a client. Written by `npm run engines`. */
export const ENGINES = [
  { name: 'nats', className: 'NatsBackend', clients: ['@nats-io/jetstream', '@nats-io/transport-node'] },
  { name: 'postgres', className: 'PostgresBackend', clients: [], variable: 'POSTGRES_URL', clientByScheme: { pglite: '@electric-sql/pglite', postgres: 'pg', postgresql: 'pg' } },
  { name: 'rabbitmq', className: 'RabbitMqBackend', clients: ['rabbitmq-client'] },
  { name: 'redis', className: 'RedisBackend', clients: ['redis'] },
];
