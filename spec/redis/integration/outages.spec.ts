import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisBackendOptions } from 'sluice/redis';
import { RedisBackend } from 'sluice/redis';
import { Holder, upTo } from '../../support/consumers.js';
import { eventually } from '../../support/eventually.js';
import { silentLogger } from '../../support/recording-logger.js';
import { retryOnce } from '../../support/retry-once.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import { RedisServer, type RedisServerOptions } from '../../support/servers/redis-server.js';
import { TcpProxy } from '../../support/servers/tcp-proxy.js';

const LEASE = 4_000;
/** Longer than a lease by more than the interval of heartbeats. */
const OUTAGE = 1.5 * LEASE;
const HELD = 8;

interface Scene {
  readonly server: RedisServer;
  /** Between the server and the consumer that has messages in flight. */
  readonly proxy: TcpProxy;
  /** Between the server and all other clients. */
  readonly otherProxy: TcpProxy;
  startServer(options?: RedisServerOptions): Promise<RedisServer>;
}

interface Outage {
  readonly cause: string;
  readonly options?: RedisServerOptions;
  /**
   * Makes an outage that is longer than a lease. Calls `ending` just before the server serves
   * again.
   */
  readonly happens: (scene: Scene, ending: () => Promise<void>) => Promise<void>;
}

const OUTAGES: readonly Outage[] = [
  {
    cause: 'restarted with a rewritten append-only file',
    options: { appendOnly: true },
    happens: async ({ server }, ending) => {
      await server.run('BGREWRITEAOF');
      await eventually(async () =>
        /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test(String(await server.run('INFO', 'persistence'))),
      );
      await server.kill();
      await sleep(OUTAGE);
      await ending();
      await server.start();
    },
  },
  {
    cause: 'replaced by its replica',
    happens: async ({ server, proxy, otherProxy, startServer }, ending) => {
      const replica = await startServer({ config: { replicaof: `127.0.0.1 ${server.port}` } });
      await eventually(async () => String(await replica.run('INFO', 'replication')).includes('master_link_status:up'));
      // The replica has all messages, but heartbeats do not reach it.
      await sleep(OUTAGE);
      await ending();
      await server.kill();
      await replica.run('REPLICAOF', 'NO', 'ONE');
      for (const each of [proxy, otherProxy]) each.retarget(replica.port);
    },
  },
  {
    cause: 'paused (CLIENT PAUSE)',
    happens: async ({ server }, ending) => {
      await server.run('CLIENT', 'PAUSE', String(OUTAGE), 'ALL');
      await sleep(OUTAGE - 500);
      await ending();
    },
  },
  {
    cause: 'without replicas (NOREPLICAS)',
    happens: async ({ server }, ending) => {
      await server.run('CONFIG', 'SET', 'min-replicas-to-write', '1');
      await sleep(OUTAGE);
      await ending();
      await server.run('CONFIG', 'SET', 'min-replicas-to-write', '0');
    },
  },
];

describeWithRedis('A Redis queue during an outage longer than a lease', () => {
  retryOnce();
  const endings: (() => unknown)[] = [];

  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });

  const startServer = async (options?: RedisServerOptions) => {
    const server = await RedisServer.start(options);
    endings.push(() => server.stop());
    return server;
  };

  const startProxy = async (server: RedisServer) => {
    const proxy = await TcpProxy.start(server.port);
    endings.push(() => proxy.stop());
    return proxy;
  };

  const open = ({ port }: TcpProxy, options?: RedisBackendOptions) => {
    const queue = new RedisBackend({
      url: `redis://127.0.0.1:${port}`,
      name: 'q',
      lease: LEASE,
      logger: silentLogger,
      ...options,
    });
    endings.push(() => queue.close());
    return queue;
  };

  it.each(OUTAGES)(
    'does not redeliver the messages of a live consumer: server $cause',
    async ({ options, happens }) => {
      const server = await startServer(options);
      const [proxy, otherProxy] = [await startProxy(server), await startProxy(server)];
      const queue = open(proxy);
      const holder = new Holder(queue, { prefetch: HELD });
      await Promise.all(upTo(HELD).map((n) => queue.publish('key', { n })));
      await eventually(() => holder.deliveries.length === HELD);
      const rest = open(otherProxy, { publishTimeout: 100_000 });
      const other = new Holder(rest);
      await rest.stats();

      await happens({ server, proxy, otherProxy, startServer }, async () => {
        await proxy.refuse();
        proxy.cut();
      });
      // The other consumer reconnects first.
      await rest.publish('key', { n: HELD + 1 });
      await eventually(() => other.numbers.includes(HELD + 1));
      await proxy.accept();
      await sleep(OUTAGE);
      expect(await Promise.all(holder.deliveries.map((delivery) => delivery.ack()))).toEqual(
        upTo(HELD).map(() => true),
      );
      expect(other.numbers).toEqual([HELD + 1]);
      expect(await other.of(HELD + 1).ack()).toBe(true);
      expect(await rest.stats()).toEqual({ ready: 0, unfinished: 0 });
    },
    100_000,
  );

  it('replicates heartbeats', async () => {
    const server = await startServer();
    const replica = await startServer({ config: { replicaof: `127.0.0.1 ${server.port}` } });
    const queue = open(await startProxy(server));
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await sleep(2 * LEASE);
    const [consumer] = (await replica.run('XINFO', 'CONSUMERS', 'q', 'default')) as [{ idle: number; pending: number }];
    expect(consumer.pending).toBe(1);
    expect(consumer.idle).toBeLessThan(LEASE);
    expect(await holder.of(1).ack()).toBe(true);
  }, 100_000);
});
