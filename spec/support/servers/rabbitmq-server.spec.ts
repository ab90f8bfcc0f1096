import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { eventually } from '../eventually.js';
import { alive } from './alive.js';
import { describeWithRabbitMq } from './describe-with.js';
import { RabbitMqServer } from './rabbitmq-server.js';

const QUEUE = 'letters';

/** A start takes seconds: the tests go on with one server, in their order. */
describeWithRabbitMq('RabbitMqServer', () => {
  const server = new RabbitMqServer({
    user: 'Ann "A"',
    password: 'hush\'"/\\ &$#%:@',
    tls: true,
    config: { consumer_timeout: '100' },
    advanced: { channel_tick_interval: '100' },
  });

  beforeAll(() => server.start(), 90_000);

  afterAll(() => server.stop());

  const stored = () =>
    server.use(async (connection) => (await connection.queueDeclare({ queue: QUEUE, passive: true })).messageCount);

  it('speaks TLS with a certificate of its own, and knows its user', async () => {
    expect(server.url).toBe(`amqps://Ann%20%22A%22:hush'%22%2F%5C%20%26%24%23%25%3A%40@127.0.0.1:${server.port}`);
    expect(server.ca).toContain('BEGIN CERTIFICATE');
    expect(await server.run('list_users')).toBe('Ann "A"\t[administrator]');
  });

  it('is the process itself, not a script that has started it', async () => {
    // Not the name of the program: a package that was unpacked elsewhere may start it by its dynamic loader.
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(server.pid)]);
    expect(stdout).toMatch(/\bbeam\b/);
  });

  it('has its connections closed by a command', async () => {
    const lost = server.use(() => new Promise<never>(() => undefined));
    const failure = expect(lost).rejects.toThrow('CONNECTION_FORCED');
    await eventually(async () => (await server.run('close_all_connections', 'test')) !== 'Closed 0 connections');
    await failure;
  });

  it('takes settings', async () => {
    await server.use(async (connection) => {
      await connection.queueDeclare({ queue: QUEUE, durable: true, arguments: { 'x-queue-type': 'quorum' } });
      const channel = await connection.acquire({ emitErrorsFromChannel: true });
      // Before 4.3 the timeout of a consumer closes its channel.
      const failed = new Promise((resolve) => {
        channel.on('error', resolve);
        channel.on('basic.cancel', (_, error) => resolve(error));
      });
      await channel.confirmSelect();
      await channel.basicPublish({ routingKey: QUEUE, durable: true }, 'a');
      await channel.basicConsume({ queue: QUEUE }, () => undefined);
      const isCancelled = await server.isAtLeast(4, 3);
      expect(String(await failed)).toMatch(
        isCancelled ? /cancelled by server/ : /delivery acknowledgement on channel \d+ timed out/,
      );
    });
  });

  it('keeps its port, and what a quorum queue confirmed, when it is killed', async () => {
    const { port, pid } = server;
    await server.saveQueues();
    await server.kill();
    expect(alive(Number(pid))).toBe(false);
    await expect(stored()).rejects.toThrow();
    await server.start();
    expect(server.port).toBe(port);
    await eventually(async () => (await stored()) === 1);
  }, 90_000);

  it('stands still until it is thawed', async () => {
    server.freeze();
    let answered = false;
    const answer = stored().finally(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toBe(false);
    server.thaw();
    expect(await answer).toBe(1);
  });

  it('is gone with its folder after stop', async () => {
    const { pid, folder } = server;
    await server.stop();
    expect(alive(Number(pid))).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });
});
