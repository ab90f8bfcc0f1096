import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { eventually } from '../eventually.js';
import { until } from '../promises.js';
import { alive } from './alive.js';
import { childrenOf } from './children-of.js';
import { describeWithPostgres } from './describe-with.js';
import { PostgresServer } from './postgres-server.js';

const COUNT = 'SELECT count(*)::int AS n FROM letters';

describeWithPostgres('PostgresServer', () => {
  const servers: PostgresServer[] = [];

  const start = async (...args: Parameters<typeof PostgresServer.start>) => {
    const server = new PostgresServer(...args);
    servers.push(server);
    await server.start();
    return server;
  };

  const connect = async ({ url }: PostgresServer) => {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };

  // A standby stops before its primary.
  afterEach(async () => {
    for (const server of servers.splice(0).reverse()) await server.stop();
  });

  it('starts, and stop ends it with its children and removes its folder', async () => {
    const server = await start();
    expect(await server.run('SELECT $1::int AS one', [1])).toEqual([{ one: 1 }]);
    const { pid, folder } = server;
    const children = childrenOf(Number(pid));
    expect(children.length).toBeGreaterThan(0);
    await server.stop();
    await server.stop();
    expect([Number(pid), ...children].filter(alive)).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  });

  it('keeps its port and its committed data when it is killed, and ends with its children', async () => {
    const server = await start();
    const { port } = server;
    await server.run('CREATE TABLE letters (n int); INSERT INTO letters VALUES (1)');
    const children = childrenOf(Number(server.pid));
    await server.kill();
    await until(() => !children.some(alive));
    await expect(server.run('SELECT 1')).rejects.toThrow();
    await server.start();
    expect(server.port).toBe(port);
    expect(await server.run(COUNT)).toEqual([{ n: 1 }]);
    await server.restart();
    expect(await server.run(COUNT)).toEqual([{ n: 1 }]);
  });

  it('shuts down although clients are connected, and keeps its data', async () => {
    const server = await start({ durable: true });
    await server.run('CREATE TABLE letters (n int)');
    const client = await connect(server);
    const lost = new Promise<void>((resolve) => client.on('end', () => resolve()));
    await server.restart();
    await lost;
    expect(await server.run(COUNT)).toEqual([{ n: 0 }]);
  });

  it('does not serve its connections while it is frozen', async () => {
    const server = await start();
    const client = await connect(server);
    server.freeze();
    let answered = false;
    const answer = client.query('SELECT 1 AS one').finally(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toBe(false);
    server.thaw();
    expect((await answer).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it('can be stopped or killed while it is frozen', async () => {
    const server = await start();
    server.freeze();
    await server.kill();
    await server.start();
    server.freeze();
    await server.stop();
  });

  it('applies its settings', async () => {
    const server = await start({ config: { work_mem: '1234kB', 'sluice.note': 'two words' } });
    expect(await server.run('SHOW work_mem')).toEqual([{ work_mem: '1234kB' }]);
    expect(await server.run('SHOW sluice.note')).toEqual([{ 'sluice.note': 'two words' }]);
    expect(await server.run('SHOW fsync')).toEqual([{ fsync: 'off' }]);
  });

  it('requires its password', async () => {
    const password = 'hush\'"/\\ &$#%:@';
    const server = await start({ password });
    expect(await server.run('SELECT current_user AS name')).toEqual([{ name: 'sluice' }]);
    await expect(connect({ url: server.url.replace('hush', 'loud') } as PostgresServer)).rejects.toThrow(/password/);
  });

  it('supports TLS with a generated certificate', async () => {
    const server = await start({ tls: true });
    const encrypted = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    expect(await server.run(encrypted)).toEqual([{ ssl: true }]);
    await expect(connect(server)).rejects.toThrow(/no encryption/);
  });

  it('replicates another server until it is promoted', async () => {
    const primary = await start({ password: 'hush' });
    const standby = await start({ standbyOf: primary });
    await primary.run('CREATE TABLE letters (n int); INSERT INTO letters VALUES (1)');
    await eventually(async () => {
      const [row] = await standby.run<{ n: number }>(COUNT).catch(() => []);
      return row?.n === 1;
    });
    await expect(standby.run('INSERT INTO letters VALUES (2)')).rejects.toThrow(/read-only/);
    await primary.kill();
    await standby.promote();
    await standby.run('INSERT INTO letters VALUES (2)');
    await standby.restart();
    expect(await standby.run(COUNT)).toEqual([{ n: 2 }]);
  });

  it('throws an error with the output of the server if it does not start', async () => {
    const server = new PostgresServer({ config: { work_mem: 'nonsense' } });
    servers.push(server);
    await expect(server.start()).rejects.toThrow(/postgres ended with code 1:[\s\S]*work_mem/);
  });

  it('ends with the process that started it, even if that process is killed and the server frozen', async () => {
    const script = `
      import { PostgresServer } from ${JSON.stringify(`${__dirname}/postgres-server.ts`)};
      import { childrenOf } from ${JSON.stringify(`${__dirname}/children-of.ts`)};
      const server = await PostgresServer.start();
      server.freeze();
      console.log([server.folder, server.pid, ...childrenOf(server.pid)].join(' '));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await until(() => output.endsWith('\n') || child.exitCode !== null);
    child.kill('SIGKILL');
    const [folder, ...pids] = output.trim().split(' ');
    expect(pids.length).toBeGreaterThan(1);
    await until(() => !pids.map(Number).some(alive) && !existsSync(String(folder)));
  });
});
