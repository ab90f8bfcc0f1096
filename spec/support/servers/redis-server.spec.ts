import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createCluster } from 'redis';
import { until } from '../promises.js';
import { alive } from './alive.js';
import { describeWithRedis, describeWithRedisTls } from './describe-with.js';
import { RedisServer } from './redis-server.js';

describeWithRedis('RedisServer', () => {
  const servers: RedisServer[] = [];

  const start = async (...args: Parameters<typeof RedisServer.start>) => {
    const server = new RedisServer(...args);
    servers.push(server);
    await server.start();
    return server;
  };

  afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

  it('starts, and stop ends it and removes its folder', async () => {
    const server = await start();
    expect(await server.run('PING')).toBe('PONG');
    const { pid, folder } = server;
    await server.stop();
    await server.stop();
    expect(alive(Number(pid))).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });

  it('keeps its port and, with an append-only file, its confirmed data when it is killed', async () => {
    const server = await start({ appendOnly: true });
    const { port } = server;
    await server.run('SET', 'key', 'value');
    await server.kill();
    await expect(server.run('PING')).rejects.toThrow();
    await server.start();
    expect(server.port).toBe(port);
    expect(await server.run('GET', 'key')).toBe('value');
    await server.restart();
    expect(await server.run('GET', 'key')).toBe('value');
  });

  it('requires its password', async () => {
    const server = await start({ password: 'hush "hush" / &' });
    expect(await server.run('PING')).toBe('PONG');
    await expect(new RedisServerWithoutPassword(server).run('PING')).rejects.toThrow('NOAUTH');
  });

  it('runs as a cluster of one node', async () => {
    const server = await start({ cluster: true });
    const cluster = createCluster({ rootNodes: [{ url: server.url }] });
    await cluster.connect();
    try {
      await Promise.all(['a', 'b', 'c'].map((key) => cluster.set(key, key)));
      expect(await cluster.get('c')).toBe('c');
    } finally {
      cluster.destroy();
    }
    await server.restart();
    expect(String(await server.run('CLUSTER', 'INFO'))).toContain('cluster_state:ok');
  });

  it('throws an error with the output of the server if it does not start', async () => {
    const server = new RedisServer({ config: { maxmemory: 'nonsense' } });
    servers.push(server);
    await expect(server.start()).rejects.toThrow(/redis-server ended with code 1:[\s\S]*maxmemory/);
  });

  it('ends with the process that started it, even if that process is killed', async () => {
    const script = `
      import { RedisServer } from ${JSON.stringify(`${__dirname}/redis-server.ts`)};
      const server = await RedisServer.start();
      console.log(server.pid + ' ' + server.folder);
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
    const [pid, folder] = output.trim().split(' ');
    expect(Number(pid)).toBeGreaterThan(0);
    await until(() => !alive(Number(pid)) && !existsSync(String(folder)));
  });
});

describeWithRedisTls('RedisServer with TLS', () => {
  const server = new RedisServer({ tls: true });

  afterAll(() => server.stop());

  it('generates a certificate', async () => {
    await server.start();
    expect(server.url).toMatch(/^rediss:/);
    expect(server.ca).toContain('BEGIN CERTIFICATE');
    expect(await server.run('PING')).toBe('PONG');
    await server.restart();
    expect(await server.run('PING')).toBe('PONG');
  });
});

/** The same server, accessed without its password. */
class RedisServerWithoutPassword extends RedisServer {
  readonly #server: RedisServer;

  constructor(server: RedisServer) {
    super();
    this.#server = server;
  }

  override get url(): string {
    return `redis://127.0.0.1:${this.#server.port}`;
  }
}
