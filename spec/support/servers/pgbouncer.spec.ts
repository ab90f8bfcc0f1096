import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { describeWithPgBouncer } from './describe-with.js';
import { PgBouncer } from './pgbouncer.js';
import { PostgresServer } from './postgres-server.js';

describeWithPgBouncer('PgBouncer', () => {
  const server = new PostgresServer({ password: "hush'=' \\" });
  const pooler = new PgBouncer(server, { default_pool_size: '1' });

  beforeAll(async () => {
    await server.start();
    await pooler.start();
  });

  afterAll(async () => {
    await pooler.stop();
    await server.stop();
  });

  it('shares a connection of the server among clients, one transaction at a time', async () => {
    const clients = [1, 2].map(() => new Client({ connectionString: pooler.url }));
    const pids: unknown[] = [];
    for (const client of clients) {
      await client.connect();
      pids.push((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
    }
    expect(new Set(pids).size).toBe(1);
    await Promise.all(clients.map((client) => client.end()));
  });

  it('runs its own commands', async () => {
    expect(await pooler.manage('SHOW POOLS')).toContainEqual(
      expect.objectContaining({ database: 'postgres', pool_mode: 'transaction' }),
    );
  });

  it('restarts although clients are connected', async () => {
    const client = new Client({ connectionString: pooler.url });
    const lost = new Promise((resolve) => client.on('error', resolve));
    await client.connect();
    const { port } = pooler;
    await pooler.restart();
    await lost;
    expect(pooler.port).toBe(port);
    expect(await pooler.run('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('is ended by stop, which removes its folder', async () => {
    const { folder } = pooler;
    await pooler.stop();
    expect(existsSync(folder)).toBe(false);
  });
});
