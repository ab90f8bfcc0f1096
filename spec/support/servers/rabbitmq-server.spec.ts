import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { eventually } from '../eventually.js';
import { alive } from './alive.js';
import { describeWithRabbitMq } from './describe-with.js';
import { RabbitMqServer } from './rabbitmq-server.js';

const QUEUE = 'letters';

/** A start takes seconds, so the tests share one server and run in order. */
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

  it('supports TLS with a generated certificate, and its user', async () => {
    expect(server.url).toBe(`amqps://Ann%20%22A%22:hush'%22%2F%5C%20%26%24%23%25%3A%40@127.0.0.1:${server.port}`);
    expect(server.ca).toContain('BEGIN CERTIFICATE');
    expect(await server.run('list_users')).toBe('Ann "A"\t[administrator]');
  });

  it('runs the server itself as its process, without a shell script', async () => {
    // Do not check the name of the program: an unpacked package may start it by its dynamic loader.
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(server.pid)]);
    expect(stdout).toMatch(/\bbeam\b/);
  });

  it('closes its connections by a command', async () => {
    const lost = server.use(() => new Promise<never>(() => undefined));
    const failure = expect(lost).rejects.toThrow('CONNECTION_FORCED');
    await eventually(async () => (await server.run('close_all_connections', 'test')) !== 'Closed 0 connections');
    await failure;
  });

  it('applies its settings', async () => {
    await server.use(async (connection) => {
      await connection.queueDeclare({ queue: QUEUE, durable: true, arguments: { 'x-queue-type': 'quorum' } });
      const channel = await connection.acquire({ emitErrorsFromChannel: true });
      // Before 4.3, the consumer timeout closes the channel.
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

  it('keeps its port and the confirmed messages of a quorum queue when it is killed', async () => {
    const { port, pid } = server;
    await server.saveQueues();
    await server.kill();
    expect(alive(Number(pid))).toBe(false);
    await expect(stored()).rejects.toThrow();
    await server.start();
    expect(server.port).toBe(port);
    await eventually(async () => (await stored()) === 1);
  }, 90_000);

  it('does not respond while it is frozen', async () => {
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

  it('is ended by stop, which removes its folder', async () => {
    const { pid, folder } = server;
    await server.stop();
    expect(alive(Number(pid))).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });
});
