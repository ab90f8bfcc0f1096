import { createClient } from 'redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>;

describeWithRedis('RedisBackend with a given client', () => {
  const suite = new RedisSuite();

  const newClient = (options: ClientOptions = {}) =>
    createClient({ url: suite.url, ...options }).on('error', () => undefined);

  const worksWith = async (client: ReturnType<typeof newClient>) => {
    const queue = suite.open({ client });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 }, { headers: { a: 'b' } });
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.of(1)).toMatchObject({ key: 'key', payload: { n: 1 }, headers: { a: 'b' }, attempt: 1 });
    expect(await holder.of(1).ack()).toBe(true);
    await queue.close();
  };

  it('leaves a closed client closed', async () => {
    const client = newClient();
    await worksWith(client);
    expect(client.isOpen).toBe(false);
  });

  it('neither uses nor closes an open client', async () => {
    const client = newClient();
    await client.connect();
    suite.ending(() => client.destroy());
    const id = String(await client.sendCommand(['CLIENT', 'ID']));
    await worksWith(client);
    expect(client.isReady).toBe(true);
    await eventually(async () => (await suite.connections()).length === 1);
    expect(await suite.connections()).toEqual([id]);
    // Before 7.0, the server does not show the subcommand.
    expect(await client.sendCommand(['CLIENT', 'INFO'])).toMatch(/ cmd=client(?:\|info)? /);
  });

  it.each<[what: string, options: ClientOptions]>([
    ['RESP 3', { RESP: 3 }],
    ['RESP 2', { RESP: 2 }],
    ['notifications of maintenance', { RESP: 3, maintNotifications: 'auto' }],
    ['invalidation events', { RESP: 3, emitInvalidate: true }],
    ['a client-side cache', { RESP: 3, clientSideCache: { ttl: 1000, maxEntries: 10 } }],
    ['pings', { pingInterval: 20 }],
    ['a socket timeout', { socket: { socketTimeout: 100 } }],
    ['a command timeout', { commandOptions: { timeout: 50 } }],
    ['a limit for its command queue', { commandsQueueMaxLength: 1 }],
    ['an offline queue', { disableOfflineQueue: false }],
    ['a reconnect strategy', { socket: { reconnectStrategy: () => 1 } }],
    ['a database', { database: 2 }],
    ['a name', { name: 'mine' }],
  ])('works with a client that has %s', async (_what, options) => {
    const client = newClient(options);
    await worksWith(client);
  });

  it('works with a client that maps types', async () => {
    const client = newClient().withTypeMapping({ 36: Buffer, 43: Buffer, 58: String });
    await worksWith(client as unknown as ReturnType<typeof newClient>);
  });

  it('does not apply the timeouts of the client to an idle consumer', async () => {
    const warnings: string[] = [];
    const logger = {
      debug() {},
      warn: (message: string) => void warnings.push(message),
      error: (message: string) => void warnings.push(message),
    };
    const queue = suite.open({
      client: newClient({ socket: { socketTimeout: 100 }, commandOptions: { timeout: 100 } }),
      logger,
    });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    expect(warnings).toEqual([]);
  });

  it('sets the name of the client on its connections', async () => {
    const queue = suite.open({ client: newClient({ name: 'my-service' }) });
    await queue.publish('key', {});
    expect(await suite.run('CLIENT', 'LIST')).toContain('name=my-service');
  });

  it('uses the credentials provider of the client on each connection', async () => {
    await suite.run('ACL', 'SETUSER', 'app', 'on', '>first', '~*', '+@all');
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    let password = 'first';
    const credentials = async () => ({ username: 'app', password });
    const client = newClient({ credentialsProvider: { type: 'async-credentials-provider', credentials } });
    const queue = suite.open({ client });
    await queue.publish('key', { n: 1 });
    await suite.run('ACL', 'SETUSER', 'app', 'resetpass', '>second');
    password = 'second';
    await suite.disconnect();
    await queue.publish('key', { n: 2 });
    expect(await suite.length()).toBe(2);
  });

  it('fails publishes and streams immediately if the client cannot be duplicated', async () => {
    const client = {
      duplicate() {
        throw new Error('no, not this one');
      },
    };
    const queue = suite.open({ client });
    const holder = new Holder(queue);
    const error = await failureOf(queue.publish('key', {}));
    expect(error).toMatchObject({ retryable: false, message: expect.stringContaining('no, not this one') });
    await eventually(() => holder.error !== undefined);
  });
});
