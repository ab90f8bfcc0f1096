import { setTimeout as sleep } from 'node:timers/promises';
import { BackendUnavailableError } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import type { RedisServer } from '../../support/servers/redis-server.js';
import { TcpProxy } from '../../support/servers/tcp-proxy.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const PREFETCH = 16;

describeWithRedis('A Redis queue behind a connection that stalls', () => {
  const stage = new Stage();
  let server: RedisServer;

  beforeEach(async () => {
    server = await stage.redis();
  });

  afterEach(() => stage.clear());

  /** The way to the server for one of those that use it. */
  const newProxy = async () => {
    const proxy = await TcpProxy.start(server.port);
    stage.ending(() => proxy.stop());
    return { proxy, url: `redis://127.0.0.1:${proxy.port}` };
  };

  const open = (options: ConstructorParameters<typeof RedisBackend>[0]) => {
    const queue = new RedisBackend({ logger: silentLogger, ...options });
    stage.ending(() => queue.close());
    return queue;
  };

  it.each([
    ['is cut', (proxy: TcpProxy) => proxy.cut()],
    ['flows again', () => undefined],
  ])(
    'fails publishes after their time, and takes those that are made when the connection %s',
    async (_how, heal) => {
      const { proxy, url } = await newProxy();
      const through = open({ url, name: 'stalled', publishTimeout: 1_000 });
      const tally = new Tally();
      await stage.consumer({ backend: 'redis', options: { url: server.url, name: 'stalled' }, work: 0 }, tally);
      await publishLoad(through, { tally, count: 200 });
      expect(tally.confirmed).toBe(200);

      proxy.stall();
      const failed: unknown[] = [];
      const stalled = Array.from({ length: 20 }, (_, id) => {
        const publish = through.publish('load', { id: 200 + id });
        publish.catch((error: unknown) => failed.push(error));
        return tally.published(200 + id, publish);
      });
      await Promise.all(stalled);
      expect(failed).toHaveLength(20);
      for (const error of failed) expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: true });

      heal(proxy);
      proxy.resume();
      // A publish that is made while the connection is found dead may take its whole time; one that is made later need not fail any more.
      let id = 1_000;
      const before = tally.confirmed;
      await stage.until(async () => {
        await tally.published(id, through.publish('load', { id: id++ }));
        return tally.confirmed > before;
      });
      await publishLoad(through, { tally, from: 10_000, count: 200 });
      expect(tally.confirmed).toBe(before + 201);
      const direct = open({ url: server.url, name: 'stalled' });
      await stage.until(() => tally.lost.length === 0, tally);
      await stage.settled(direct, tally);
      tally.close('A stalled connection of a publisher', 0);
    },
    100_000,
  );

  it('keeps publishes that have no short time until the connection is made anew', async () => {
    const { proxy, url } = await newProxy();
    const through = open({ url, name: 'patient', publishTimeout: 60_000 });
    const tally = new Tally();
    await stage.consumer({ backend: 'redis', options: { url: server.url, name: 'patient' }, work: 0 }, tally);
    const published = publishLoad(through, { tally, count: 3_000 });
    for (const at of [500, 1_500]) {
      await stage.until(() => tally.confirmed >= at);
      // The first time, messages arrive and their confirmations do not.
      proxy.stall(at === 500 ? 'to-client' : 'both');
      await sleep(200);
      await proxy.refuse();
      proxy.cut();
      await sleep(200);
      proxy.resume();
      await proxy.accept();
    }
    await published;
    expect(tally.confirmed).toBe(3_000);
    const direct = open({ url: server.url, name: 'patient' });
    await stage.settled(direct, tally);
    // The publisher does not know whether what it sent had arrived, and sends it again: the server does.
    tally.close('A connection of a publisher cut twice under load', 0);
  }, 100_000);

  it('gives the messages of a consumer that is cut off to another, and serves it again by itself', async () => {
    const { proxy, url } = await newProxy();
    const tally = new Tally();
    const settings = { backend: 'redis', consume: { prefetch: PREFETCH } } as const;
    const name = 'cut-off';
    const cutOff = await stage.consumer({ ...settings, options: { url, name, lease: 2_000 }, work: 'until-told' }, tally);
    const queue = open({ url: server.url, name, lease: 2_000 });
    await publishLoad(queue, { tally, count: PREFETCH });
    await stage.until(() => cutOff.got.length === PREFETCH);

    proxy.stall();
    const other = await stage.consumer({ ...settings, options: { url: server.url, name, lease: 2_000 }, work: 0 }, tally);
    await stage.until(() => other.settled.size === PREFETCH);
    cutOff.finish();
    proxy.cut();
    proxy.resume();
    await stage.until(() => cutOff.settled.size === PREFETCH);
    // Another has had them meanwhile.
    expect([...cutOff.settled.values()]).not.toContain(true);
    expect(await other.leave()).toBe(0);
    await publishLoad(queue, { tally, from: PREFETCH, count: 500 });
    await stage.settled(queue, tally);
    tally.close('A consumer cut off for longer than its lease', PREFETCH);
  }, 100_000);

  it('keeps the messages of a consumer whose connection comes back within its lease', async () => {
    const { proxy, url } = await newProxy();
    const tally = new Tally();
    const name = 'blinked';
    const blinked = await stage.consumer({ backend: 'redis', options: { url, name }, consume: { prefetch: PREFETCH }, work: 'until-told' }, tally);
    const queue = open({ url: server.url, name });
    await publishLoad(queue, { tally, count: PREFETCH });
    await stage.until(() => blinked.got.length === PREFETCH);
    proxy.cut();
    await stage.until(() => proxy.connections > 0);
    blinked.finish();
    await publishLoad(queue, { tally, from: PREFETCH, count: 500 });
    await stage.settled(queue, tally);
    await stage.until(() => blinked.settled.size === PREFETCH + 500);
    tally.close('A consumer whose connection is cut once', PREFETCH);
  }, 100_000);
});
