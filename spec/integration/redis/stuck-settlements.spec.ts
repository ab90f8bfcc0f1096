import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import type { RedisServer } from '../../support/servers/redis-server.js';
import { TcpProxy } from '../../support/servers/tcp-proxy.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const LEASE = 2_000;
const PREFETCH = 16;

describeWithRedis('An acknowledgement that is stuck on its way to Redis', () => {
  const stage = new Stage();
  let server: RedisServer;

  beforeEach(async () => {
    server = await stage.redis();
  });

  afterEach(() => stage.clear());

  /** A consumer behind a proxy that holds all messages there are, and is about to settle them. */
  const prepare = async (name: string) => {
    const proxy = await TcpProxy.start(server.port);
    stage.ending(() => proxy.stop());
    const queue = new RedisBackend({ url: server.url, name, lease: LEASE, logger: silentLogger });
    stage.ending(() => queue.close());
    const tally = new Tally();
    const settings = { backend: 'redis', consume: { prefetch: PREFETCH } } as const;
    const options = { url: `redis://127.0.0.1:${proxy.port}`, name, lease: LEASE };
    const holder = await stage.consumer({ ...settings, options, work: 'until-told' }, tally);
    await publishLoad(queue, { tally, count: PREFETCH });
    await stage.until(() => holder.got.length === PREFETCH, tally);
    const startAnother = () => stage.consumer({ ...settings, options: { ...options, url: server.url }, work: 0 }, tally);
    return { proxy, queue, tally, holder, startAnother };
  };

  const heal = (proxy: TcpProxy) => {
    proxy.cut();
    proxy.resume();
  };

  it('counts when it arrived and only its answer was lost', async () => {
    const { proxy, queue, tally, holder } = await prepare('answers');
    proxy.stall('to-client');
    holder.finish();
    await stage.settled(queue, tally);
    heal(proxy);
    await stage.until(() => holder.settled.size === PREFETCH, tally);
    expect([...holder.settled.values()]).not.toContain(false);
    tally.close('The answer to an acknowledgement lost', 0);
  }, 100_000);

  it('does not count when another consumer had the message meanwhile, and settled it', async () => {
    const { proxy, queue, tally, holder, startAnother } = await prepare('questions');
    proxy.stall('to-target');
    holder.finish();
    const another = await startAnother();
    await stage.until(() => another.settled.size === PREFETCH, tally);
    expect([...another.settled.values()]).not.toContain(false);
    heal(proxy);
    await stage.until(() => holder.settled.size === PREFETCH, tally);
    expect([...holder.settled.values()]).not.toContain(true);
    await stage.settled(queue, tally);
    tally.close('An acknowledgement that never arrived', PREFETCH);
  }, 100_000);
});
