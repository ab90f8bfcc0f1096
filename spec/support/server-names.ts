import { jetstreamManager } from '@nats-io/jetstream';
import { Client } from 'pg';
import { NatsServer } from './servers/nats-server.js';
import { PostgresServer } from './servers/postgres-server.js';
import { RabbitMqServer } from './servers/rabbitmq-server.js';
import { RedisServer } from './servers/redis-server.js';

/**
 * Lists what has been created on a server since the given names were listed. What was removed does
 * not count: keys expire.
 */
export async function createdOn(server: object, before: readonly string[]): Promise<string[]> {
  const known = new Set(before);
  return (await namesOn(server)).filter((name) => !known.has(name));
}

/**
 * Lists what exists on a server: keys, streams and consumers, queues and exchanges, or rows. Asks
 * the server itself, and no backend.
 */
export async function namesOn(server: object): Promise<string[]> {
  if (server instanceof RedisServer) return namesOnRedis(server);
  if (server instanceof NatsServer) return namesOnNats(server);
  if (server instanceof RabbitMqServer) return namesOnRabbitMq(server);
  if (server instanceof PostgresServer) return namesOnPostgres(server);
  throw new Error('Expected the server of a built-in engine');
}

async function namesOnRedis(server: RedisServer): Promise<string[]> {
  const names = (await server.run('KEYS', '*')) as string[];
  for (const name of [...names]) {
    if ((await server.run('TYPE', name)) !== 'stream') continue;
    const groups = (await server.run('XINFO', 'GROUPS', name)) as { readonly name: string }[];
    names.push(...groups.map((group) => `${name} ${group.name}`));
  }
  return names.toSorted();
}

function namesOnNats(server: NatsServer): Promise<string[]> {
  return server.use(async (connection) => {
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const names: string[] = [];
    for await (const { config } of manager.streams.list()) {
      names.push(config.name);
      for await (const { name } of manager.consumers.list(config.name)) names.push(`${config.name} ${name}`);
    }
    return names.toSorted();
  });
}

async function namesOnRabbitMq(server: RabbitMqServer): Promise<string[]> {
  // One call for both: `rabbitmqctl` takes seconds to start.
  const listed = await server.run('eval', '{rabbit_amqqueue:list_names(), rabbit_exchange:list_names()}.');
  return [...listed.matchAll(/(queue|exchange),\s*<<"([^"]*)">>/g)]
    .map(([, kind, name]) => `${kind} ${name}`)
    .toSorted();
}

async function namesOnPostgres(server: PostgresServer): Promise<string[]> {
  const client = new Client({ connectionString: server.url });
  await client.connect();
  try {
    const { rows: tables } = await client.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'sluice'");
    if (tables.length === 0) return [];
    const { rows } = await client.query(
      `SELECT name FROM sluice.queues
       UNION ALL SELECT q.name || ' ' || g.name FROM sluice.groups g JOIN sluice.queues q ON q.id = g.queue`,
    );
    return [...tables, ...rows].map(({ name }) => name as string).toSorted();
  } finally {
    await client.end();
  }
}
