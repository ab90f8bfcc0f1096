import type { TcpProxy } from '../../support/servers/tcp-proxy.js';
import { Tally } from '../../support/tally.js';
import type { Stage } from '../stage.js';

const LEASE = 2_000;
const PREFETCH = 16;

/**
 * Cases of acks that are stuck on their way to a server whose leases outlive connections.
 * @param tellsStale whether the server distinguishes a repeated ack from a late one
 */
export function stuckSettlements(stage: Stage, { tellsStale }: { readonly tellsStale: boolean }): void {
  /** Makes a consumer behind a proxy with all messages in flight. */
  const prepare = async () => {
    const { proxy, url } = await stage.proxy();
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const holder = await stage.consumer(
      { ...settings, options: { ...settings.options, url }, work: 'until-told' },
      tally,
    );
    await stage.publish(queue, { tally, count: PREFETCH });
    await stage.until(() => holder.got.length === PREFETCH, tally);
    return { proxy, queue, tally, holder, startAnother: () => stage.consumer({ ...settings, work: 0 }, tally) };
  };

  const heal = (proxy: TcpProxy) => {
    proxy.cut();
    proxy.resume();
  };

  it('counts an ack whose reply was lost', async () => {
    const { proxy, queue, tally, holder } = await prepare();
    proxy.stall('to-client');
    holder.finish();
    await stage.until(async () => (await queue.stats()).unfinished === 0, tally);
    heal(proxy);
    await stage.until(() => holder.settled.size === PREFETCH, tally);
    expect([...holder.settled.values()]).not.toContain(false);
    stage.close(tally, 'the answer to an acknowledgement lost', 0);
  }, 100_000);

  it('redelivers a message whose ack never arrived to another consumer', async () => {
    const { proxy, queue, tally, holder, startAnother } = await prepare();
    proxy.stall('to-target');
    holder.finish();
    const another = await startAnother();
    await stage.until(() => another.settled.size === PREFETCH, tally);
    expect([...another.settled.values()]).not.toContain(false);
    heal(proxy);
    await stage.until(() => holder.settled.size === PREFETCH, tally);
    if (tellsStale) expect([...holder.settled.values()]).not.toContain(true);
    await stage.settled(queue, tally);
    stage.close(tally, 'an acknowledgement that never arrived', PREFETCH);
  }, 100_000);
}
