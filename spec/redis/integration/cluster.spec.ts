import { createCluster } from 'redis';
import { RedisBackend } from 'sluice/redis';
import { publishLoad } from '../../integration/load.js';
import { eventually } from '../../support/eventually.js';
import { silentLogger } from '../../support/recording-logger.js';
import { retryOnce } from '../../support/retry-once.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import { RedisCluster } from '../../support/servers/redis-cluster.js';
import { StrangeServer } from '../../support/servers/strange-server.js';
import { TcpProxy } from '../../support/servers/tcp-proxy.js';
import { Tally } from '../../support/tally.js';
import { consumeHere } from './in-process.js';

const LOAD = 2_000;
const BEFORE = 500;
/** Maximum number of messages that a consumer has in flight. */
const PREFETCH = 32;

describeWithRedis('A queue on a Redis Cluster', () => {
  retryOnce();
  let cluster: RedisCluster;
  const endings: (() => unknown)[] = [];

  beforeAll(async () => {
    cluster = await RedisCluster.start();
  }, 100_000);

  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });

  afterAll(() => cluster.stop());

  it('survives a planned failover behind an address that follows the master', async () => {
    const name = 'followed';
    const proxy = await TcpProxy.start((await cluster.masterOf(name)).port);
    endings.push(() => proxy.stop());
    const queue = new RedisBackend({
      url: `redis://127.0.0.1:${proxy.port}`,
      name,
      lease: 5_000,
      publishTimeout: 60_000,
      logger: silentLogger,
    });
    endings.push(() => queue.close());
    const tally = new Tally();
    const fate = consumeHere(queue, tally);
    const published = publishLoad(queue, { tally, count: LOAD, ahead: 300 });
    await eventually(() => tally.done >= BEFORE);
    const { port } = await cluster.failOver(name);
    // The old master replies MOVED until the address follows.
    proxy.retarget(port);
    await published;
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(fate.error).toBeUndefined();
    const newcomer = consumeHere(queue, tally);
    await publishLoad(queue, { tally, from: LOAD, count: 200 });
    await eventually(() => tally.done === LOAD + 200);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(tally.confirmed).toBe(LOAD + 200);
    expect([...fate.counted, ...newcomer.counted]).not.toContain(false);
    tally.close('Redis Cluster: a planned failover, by an address that follows the master', 0);
  }, 100_000);

  it('connects although one node does not answer', async () => {
    const silent = await StrangeServer.start(() => undefined);
    endings.push(() => silent.stop());
    const urls = [`redis://127.0.0.1:${silent.port}`, ...cluster.servers.map(({ url }) => url)];
    for (let n = 1; n <= 5; n++) {
      const client = createCluster({ rootNodes: urls.slice(0, 3).map((url) => ({ url })) });
      const queue = new RedisBackend({
        client,
        name: `silent-${n}`,
        lease: 5_000,
        publishTimeout: 60_000,
        logger: silentLogger,
      });
      endings.push(() => queue.close());
      await queue.publish('key', { n });
      expect((await queue.stats()).ready).toBe(1);
    }
  }, 150_000);

  it('follows failovers with a cluster client', async () => {
    const name = 'by-cluster';
    const client = createCluster({ rootNodes: cluster.servers.map(({ url }) => ({ url })) });
    const queue = new RedisBackend({ client, name, lease: 5_000, publishTimeout: 60_000, logger: silentLogger });
    endings.push(() => queue.close());
    const tally = new Tally();
    const fate = consumeHere(queue, tally);
    const published = publishLoad(queue, { tally, count: 2 * LOAD, ahead: 300 });
    await eventually(() => tally.done >= BEFORE);
    await cluster.failOver(name);
    await eventually(() => tally.done >= LOAD + BEFORE);
    // The replica needs everything that the master has confirmed.
    await cluster.whole();
    const master = await cluster.masterOf(name);
    const replica = await cluster.replicaOf(name);
    await master.kill();
    await cluster.leads(replica, name);
    await master.start();
    await published;
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(fate.error).toBeUndefined();
    expect(tally.confirmed).toBe(2 * LOAD);
    await cluster.whole();
    tally.close('Redis Cluster: a planned failover, and a master killed under load', PREFETCH);
  }, 100_000);
});
