import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { lastValueFrom } from 'rxjs';
import type { QueueBackend } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { ROOT } from '../support/root.js';
import { describeWithRedis, describeWithRedisTls } from '../support/servers/describe-with.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { StrangeServer } from '../support/servers/strange-server.js';

/** Publishes one message, receives it and acknowledges it. */
async function works(queue: QueueBackend): Promise<void> {
  const holder = new Holder(queue);
  await queue.publish('key', { n: 1 });
  await eventually(() => holder.deliveries.length === 1);
  expect(await holder.of(1).ack()).toBe(true);
  expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  holder.subscription.unsubscribe();
}

describeWithRedis('Connections of a RedisBackend', () => {
  retryOnce();
  const suite = new RedisSuite();

  it('opens none before the first use and keeps none after close()', async () => {
    const queue = suite.open();
    queue.deliveries();
    queue.consume();
    expect(await suite.connections()).toEqual([]);
    await works(queue);
    expect(await suite.connections()).not.toEqual([]);
    await queue.close();
    await eventually(async () => (await suite.connections()).length === 0);
  });

  it('opens one, and one more for each consumed group, however many subscribers there are', async () => {
    const queue = suite.open({ groups: ['a', 'b', 'c', 'unused'] });
    await queue.publish('key', { n: 1 });
    expect(await suite.connections()).toHaveLength(1);
    const holders = upTo(20).map((n) => new Holder(queue, { group: n % 2 === 0 ? 'a' : 'b', prefetch: n }));
    const loops = upTo(5).map(() => queue.consume({ group: 'c' })[Symbol.asyncIterator]());
    const pending = loops.map((loop) => loop.next());
    await eventually(() => holders.flatMap(({ deliveries }) => deliveries).length === 2);
    await queue.stats();
    await eventually(async () => (await suite.connections()).length === 4);
    for (let look = 0; look < 10; look++) expect(await suite.connections()).toHaveLength(4);
    await Promise.all(upTo(4).map((n) => queue.publish('key', { n })));
    await Promise.all(pending);
    expect(await suite.connections()).toHaveLength(4);
  });

  it('closes the connection of a group after its last subscriber leaves and reopens it for a new one', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const holders = ['a', 'b'].map((group) => new Holder(queue, { group }));
    await eventually(async () => (await suite.connections()).length === 3);
    holders[0]?.subscription.unsubscribe();
    await eventually(async () => (await suite.connections()).length === 2);
    holders[1]?.subscription.unsubscribe();
    await eventually(async () => (await suite.connections()).length === 1);
    const holder = new Holder(queue, { group: 'a' });
    await eventually(async () => (await suite.connections()).length === 2);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).ack()).toBe(true);
  });

  it('selects the database of the URL', async () => {
    const queue = suite.open({ url: `${suite.url}/5` });
    await works(queue);
    expect(await suite.keys()).toEqual([]);
    await suite.run('SELECT', '5');
    suite.ending(() => suite.run('SELECT', '0'));
    expect(await suite.keys()).toEqual(['', 'bell'].filter((key) => key === '' || key === 'bell'));
  });

  it('fails immediately if the database is out of range', async () => {
    const queue = suite.open({ url: `${suite.url}/99` });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringContaining('DB index'),
    });
  });

  it('fails before the publish timeout ends if the server does not speak TLS', async () => {
    const client = createClient({ socket: { host: '127.0.0.1', port: suite.server.port, tls: true } });
    const queue = suite.open({ client, publishTimeout: 500 });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      message: expect.stringContaining('was not enqueued'),
      retryable: true,
    });
  });
});

describeWithRedis('RedisBackend when its server is replaced', () => {
  const suite = new RedisSuite();

  it('reconnects to the new server if the old one becomes a replica and keeps its connections', async () => {
    const successor = await RedisServer.start();
    suite.ending(() => successor.stop());
    let { port } = suite.server;
    const address = await StrangeServer.start((client) => {
      const target = connect(port, '127.0.0.1');
      client.pipe(target).pipe(client);
      client.on('close', () => target.destroy());
      target.on('close', () => client.destroy()).on('error', () => undefined);
    });
    suite.ending(() => address.stop());
    const queue = suite.open({ url: `redis://127.0.0.1:${address.port}` });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    port = successor.port;
    await suite.run('REPLICAOF', '127.0.0.1', '1');
    suite.ending(() => suite.run('REPLICAOF', 'NO', 'ONE'));
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it.each<[call: string, use: (queue: QueueBackend) => Promise<unknown>]>([
    ['a publish', (queue) => queue.publish('key', {})],
    ['a count', (queue) => queue.stats()],
    ['a stream', (queue) => lastValueFrom(queue.deliveries())],
  ])('reconnects after a fatal reply to %s', async (_call, use) => {
    const successor = await RedisServer.start();
    suite.ending(() => successor.stop());
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await works(queue);
    await suite.run('ACL', 'SETUSER', 'default', '-eval', '-evalsha');
    suite.ending(() => suite.run('ACL', 'SETUSER', 'default', '+@all'));
    proxy.retarget(successor.port);
    expect(await failureOf(use(queue))).toMatchObject({ retryable: false, message: expect.stringContaining('NOPERM') });
    await works(queue);
    await eventually(async () => (await suite.connections()).length === 0);
  });
});

describeWithRedis('RedisBackend with a password', () => {
  const password = 'pa:ss/w@rd? #%ü';
  const suite = new RedisSuite({ password });

  it('authenticates with the password of the URL', async () => {
    await works(suite.open());
  });

  it.each([
    ['a wrong password', ':wr0ng-secret@', ['default', '>wr0ng-secret']],
    ['no password', '', ['default', 'nopass']],
    ['an unknown user', 'somebody:wr0ng-secret@', ['somebody', 'on', '>wr0ng-secret', '~*', '+@all']],
  ])('fails immediately with %s and works once that is corrected', async (_what, login, mend) => {
    const errors: string[] = [];
    const keep = (...said: unknown[]) =>
      void errors.push(said.map((one) => `${one} ${(one as Error | undefined)?.stack}`).join());
    const queue = suite.open({
      url: `redis://${login}127.0.0.1:${suite.server.port}`,
      logger: { debug: keep, warn: keep, error: keep },
    });
    const holder = new Holder(queue);
    for (const failed of [queue.publish('key', {}), queue.stats()]) {
      const error = await failureOf(failed);
      expect(error).toMatchObject({
        retryable: false,
        message: expect.stringMatching(/refused the user or the password/),
      });
      errors.push(error.message, String((error.cause as Error).stack));
    }
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ retryable: false });
    expect(errors.join()).not.toContain('wr0ng-secret');
    await suite.run('ACL', 'SETUSER', ...mend);
    suite.ending(() => suite.run('ACL', 'SETUSER', 'default', 'resetpass', `>${password}`));
    await works(queue);
  });

  it('does not retry a wrong password without a subscriber', async () => {
    await suite.run('ACL', 'LOG', 'RESET');
    const holder = new Holder(suite.open({ url: `redis://:wr0ng-secret@127.0.0.1:${suite.server.port}` }));
    await eventually(() => holder.error !== undefined);
    await sleep(200);
    const [entry, ...others] = (await suite.run('ACL', 'LOG')) as string[][];
    expect(others).toEqual([]);
    expect(entry?.slice(0, 4)).toEqual(['count', 1, 'reason', 'auth']);
  });

  it('fails a publish while the password is changed and works once it is restored', async () => {
    const queue = suite.open();
    await works(queue);
    const holder = new Holder(queue);
    await suite.run('ACL', 'SETUSER', 'default', 'resetpass', '>another');
    suite.ending(() => suite.run('ACL', 'SETUSER', 'default', 'resetpass', `>${password}`));
    await suite.disconnect();
    expect(await failureOf(queue.publish('key', { n: 2 }))).toMatchObject({ retryable: false });
    await eventually(() => holder.error !== undefined);
    await suite.run('ACL', 'SETUSER', 'default', 'resetpass', `>${password}`);
    await works(queue);
  });
});

describeWithRedisTls('RedisBackend over TLS', () => {
  const suite = new RedisSuite({ tls: true });

  it('trusts the certificate authority of a given client', async () => {
    const client = createClient({ url: suite.url, socket: { tls: true, ca: suite.server.ca } });
    await works(suite.open({ client }));
  });

  it('fails immediately if the certificate is not trusted', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    const error = await failureOf(queue.publish('key', {}));
    expect(error).toMatchObject({ retryable: false, message: expect.stringContaining('certificate') });
    expect(error.cause).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    await eventually(() => holder.error !== undefined);
  });

  it('fails immediately if the certificate is for another host', async () => {
    const client = createClient({
      url: suite.url,
      socket: { tls: true, ca: suite.server.ca, servername: 'other.example' },
    });
    expect(await failureOf(suite.open({ client }).publish('key', {}))).toMatchObject({ retryable: false });
  });

  it('fails with a helpful message if the URL is one without TLS', async () => {
    const queue = suite.open({ url: suite.url.replace('rediss:', 'redis:'), publishTimeout: 500 });
    const error = await failureOf(queue.publish('key', {}));
    expect(`${error.message} ${error.cause}`).toMatch(/ECONNRESET|closed|RESP type/);
  });

  it('trusts the authority in NODE_EXTRA_CA_CERTS with a rediss: URL', async () => {
    const ca = path.join(suite.server.folder, 'ca.pem');
    await writeFile(ca, suite.server.ca);
    const program = `
      import { RedisBackend } from '${ROOT}/src/redis/index.js';
      const queue = RedisBackend.fromEnv();
      await queue.publish('key', { n: 1 });
      for await (const { payload } of queue.deliveries()) { console.log(JSON.stringify(payload)); break; }
      await queue.close();`;
    const file = path.join(ROOT, '.cache', `tls-${process.pid}.mts`);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, program);
    suite.ending(() => rm(file));
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: ca, REDIS_URL: suite.url, QUEUE_NAME: suite.name };
    const child = spawn(process.execPath, ['--import', 'tsx', '--import', './scripts/text-loader.mjs', file], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    const [code] = await once(child, 'close');
    expect([code, printed.trim()]).toEqual([0, '{"n":1}']);
  });
});

describeWithRedis('RedisBackend over a Unix socket', () => {
  const suite = new RedisSuite({ config: { unixsocket: 'redis.sock' } });

  it('connects by a URL with the path of the socket', async () => {
    const queue = new RedisBackend({
      url: `unix://${suite.server.folder}/redis.sock`,
      name: suite.name,
      logger: silentLogger,
    });
    suite.ending(() => queue.close());
    await works(queue);
    expect(await suite.run('CLIENT', 'LIST')).toContain('redis.sock');
  });

  it('names the path in the error if the socket cannot be reached', async () => {
    const url = `unix://${suite.server.folder}/other.sock?db=2`;
    const queue = new RedisBackend({ url, name: suite.name, publishTimeout: 300, logger: silentLogger });
    suite.ending(() => queue.close());
    expect(`${(await failureOf(queue.stats())).message}`).toContain('/other.sock');
  });
});
