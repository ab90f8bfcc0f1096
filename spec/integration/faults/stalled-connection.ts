import { setTimeout as sleep } from 'node:timers/promises';
import { BackendUnavailableError } from 'sluice';
import type { TcpProxy } from '../../support/servers/tcp-proxy.js';
import { Tally } from '../../support/tally.js';
import type { Stage } from '../stage.js';

/** Cases of publisher connections that stall or are cut. */
export function stalledPublisher(stage: Stage): void {
  it.each([
    ['is cut', (proxy: TcpProxy) => proxy.cut()],
    ['flows again', () => undefined],
  ])(
    'fails publishes after their timeout and accepts new ones once the connection %s',
    async (how, heal) => {
      const { proxy, url } = await stage.proxy();
      const { queue, settings } = stage.open();
      const { queue: through } = stage.open({ url, publishTimeout: 5_000 });
      const tally = new Tally();
      await stage.consumer({ ...settings, work: 0 }, tally);
      await stage.publish(through, { tally, count: 200 });
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
      // A publish during the detection of the dead connection may time out. Later ones must not.
      let id = 1_000;
      const before = tally.confirmed;
      await stage.until(async () => {
        await tally.published(id, through.publish('load', { id: id++ }));
        return tally.confirmed > before;
      }, tally);
      await stage.publish(through, { tally, from: 10_000, count: 200 });
      expect(tally.confirmed).toBe(before + 201);
      await stage.until(() => tally.lost.length === 0, tally);
      await stage.settled(queue, tally);
      stage.close(tally, `a stalled connection of a publisher that ${how}`, 0, 1);
    },
    100_000,
  );

  it('keeps publishes with a long timeout until the connection is restored', async () => {
    const { proxy, url } = await stage.proxy();
    const { queue, settings } = stage.open();
    const { queue: through } = stage.open({ url, publishTimeout: 60_000 });
    const tally = new Tally();
    await stage.consumer({ ...settings, work: 0 }, tally);
    const published = stage.publish(through, { tally, count: 3_000 });
    for (const at of [500, 1_500]) {
      await stage.until(() => tally.confirmed >= at, tally);
      // The first time, messages arrive but their confirms do not.
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
    await stage.settled(queue, tally);
    // The publisher does not know whether sent messages have arrived, and resends them.
    stage.close(tally, 'a connection of a publisher cut twice under load', 0, 2);
  }, 100_000);
}

const PREFETCH = 16;

/** Cases of consumer connections that stall or are cut. */
export function stalledConsumer(stage: Stage): void {
  /** Makes a consumer behind a proxy with all messages in flight. */
  const hold = async (lease: number) => {
    const { proxy, url } = await stage.proxy();
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease, prefetch: PREFETCH });
    const holder = await stage.consumer(
      { ...settings, options: { ...settings.options, url }, work: 'until-told' },
      tally,
    );
    await stage.publish(queue, { tally, count: PREFETCH });
    await stage.until(() => holder.got.length === PREFETCH, tally);
    return { proxy, queue, settings, tally, holder };
  };

  it('redelivers the messages of a consumer that is cut off, and serves it again after a reconnect', async () => {
    const { proxy, queue, settings, tally, holder } = await hold(2_000);
    proxy.stall();
    const other = await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.until(() => other.settled.size === PREFETCH, tally);
    holder.finish();
    proxy.cut();
    proxy.resume();
    await stage.until(() => holder.settled.size === PREFETCH, tally);
    // Another consumer has settled them meanwhile.
    expect([...holder.settled.values()]).not.toContain(true);
    expect(await other.leave()).toBe(0);
    await stage.publish(queue, { tally, from: PREFETCH, count: 500 });
    await stage.settled(queue, tally);
    stage.close(tally, 'a consumer cut off for longer than its lease', PREFETCH);
  }, 100_000);

  it('serves a consumer again whose connection is restored within its lease', async () => {
    const { proxy, queue, tally, holder } = await hold(30_000);
    proxy.cut();
    await stage.until(() => proxy.connections > 0, tally);
    holder.finish();
    await stage.publish(queue, { tally, from: PREFETCH, count: 500 });
    await stage.settled(queue, tally);
    await stage.until(() => holder.settled.size === PREFETCH + 500, tally);
    stage.close(tally, 'a consumer whose connection is cut once', PREFETCH);
  }, 100_000);
}
