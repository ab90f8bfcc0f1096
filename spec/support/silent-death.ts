import type { QueueBackend } from 'sluice';
import { Holder } from './consumers.js';
import { eventually } from './eventually.js';
import type { TcpProxy } from './servers/tcp-proxy.js';

interface Suite {
  proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }>;
  open(options: { url?: string }): QueueBackend;
}

/** Tests a publisher whose open connections stop transmitting. New connections work. */
export function silentDeath(suite: Suite): void {
  it('confirms the next publish with the default timeouts', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    const { accepted } = proxy;
    proxy.silence();
    await queue.publish('key', { n: 2 });
    expect(proxy.accepted).toBeGreaterThan(accepted);
    const holder = new Holder(suite.open({}), {}, (delivery) => void delivery.ack());
    await eventually(() => holder.numbers.includes(2));
    expect([...new Set(holder.numbers)]).toEqual([1, 2]);
  });
}
