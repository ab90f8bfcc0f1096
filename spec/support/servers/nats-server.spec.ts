import { existsSync } from 'node:fs';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { alive } from './alive.js';
import { describeWithNats } from './describe-with.js';
import { NatsCluster } from './nats-cluster.js';
import { NatsServer, type NatsServerOptions } from './nats-server.js';

const STREAM = { name: 'letters', subjects: ['letters.>'] };

const makeStream = (server: NatsServer, replicas = 1) =>
  server.use(
    async (connection) =>
      void (await (await jetstreamManager(connection)).streams.add({ ...STREAM, num_replicas: replicas })),
  );

const publish = (server: NatsServer) =>
  server.use(async (connection) => void (await jetstream(connection).publish('letters.a', 'a')));

const stored = (server: NatsServer) =>
  server.use(
    async (connection) => (await (await jetstreamManager(connection)).streams.info(STREAM.name)).state.messages,
  );

describeWithNats('NatsServer', () => {
  const servers: NatsServer[] = [];

  const start = async (options?: NatsServerOptions) => {
    const server = new NatsServer(options);
    servers.push(server);
    await server.start();
    return server;
  };

  afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

  it('starts, and stop ends it and removes its folder', async () => {
    const server = await start();
    expect(server.url).toBe(`nats://127.0.0.1:${server.port}`);
    expect(await server.use(async ({ info }) => info)).toMatchObject({ host: '127.0.0.1', jetstream: true });
    const { pid, folder } = server;
    await server.stop();
    await server.stop();
    expect(alive(Number(pid))).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });

  it('keeps its port and its confirmed messages when it is killed', async () => {
    const server = await start();
    const { port } = server;
    await makeStream(server);
    await publish(server);
    await server.kill();
    await expect(stored(server)).rejects.toThrow();
    await server.start();
    expect(server.port).toBe(port);
    expect(await stored(server)).toBe(1);
    await server.restart();
    expect(await stored(server)).toBe(1);
  });

  it('does not respond while it is frozen', async () => {
    const server = await start();
    await makeStream(server);
    server.freeze();
    let answered = false;
    const answer = stored(server).finally(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toBe(false);
    server.thaw();
    expect(await answer).toBe(0);
  });

  it('runs without JetStream', async () => {
    const server = await start({ jetStream: false });
    await expect(makeStream(server)).rejects.toThrow('jetstream is not enabled');
  });

  it.each([
    [
      'a user and a password',
      { user: 'Ann "A"', password: 'hush/ &$:@' },
      'nats://Ann%20%22A%22:hush%2F%20%26%24%3A%40@',
    ],
    ['a token', { token: 'hush "hush" @' }, 'nats://hush%20%22hush%22%20%40@'],
  ])('asks for %s', async (_, options, url) => {
    const server = await start(options);
    expect(server.url).toBe(`${url}127.0.0.1:${server.port}`);
    await expect(connect({ port: server.port, reconnect: false })).rejects.toThrow(/authorization/i);
  });

  it('supports TLS with a generated certificate', async () => {
    const server = await start({ tls: true });
    expect(server.url).toMatch(/^tls:/);
    expect(server.ca).toContain('BEGIN CERTIFICATE');
    await expect(connect({ port: server.port, reconnect: false, tls: {} })).rejects.toThrow();
    await server.restart();
    expect(await server.use(async ({ info }) => info?.tls_required)).toBe(true);
  });

  it('applies `maxPayload` and `config`', async () => {
    const server = await start({ maxPayload: 2048, config: { max_subscriptions: '7', mappings: '{ "from": "to" }' } });
    expect(await server.use(async ({ info }) => info?.max_payload)).toBe(2048);
  });

  it('throws an error with the output of the server if it does not start', async () => {
    await expect(start({ config: { max_payload: 'nonsense' } })).rejects.toThrow(
      /nats-server ended with code 1:[\s\S]*nats\.conf/,
    );
  });
});

describeWithNats('NatsCluster', () => {
  let cluster: NatsCluster;

  beforeAll(async () => {
    cluster = await NatsCluster.start();
  }, 90_000);

  afterAll(() => cluster.stop());

  it('stores three replicas, and is complete again after its leader was killed and restarted', async () => {
    expect(cluster.servers.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3']);
    expect(cluster.url.split(',')).toEqual(cluster.servers.map(({ url }) => url));
    const [first] = cluster.servers as [NatsServer, ...NatsServer[]];
    await makeStream(first, 3);
    await publish(first);
    const leader = await cluster.leaderOf(STREAM.name);
    await leader.kill();
    await leader.start();
    await cluster.whole();
    for (const server of cluster.servers) expect(await stored(server)).toBe(1);
  }, 90_000);
});
