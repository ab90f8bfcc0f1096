import type { QueueBackend } from 'sluice';
import { Holder, upTo } from './consumers.js';
import { eventually } from './eventually.js';
import { failureOf } from './promises.js';
import type { TcpProxy } from './servers/tcp-proxy.js';

interface Suite {
  proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }>;
  open(options: { url?: string; maxPending?: number; publishTimeout?: number }): QueueBackend;
}

/** Tests publishes beyond `maxPending` while the server confirms nothing. */
export function fullOutbox(suite: Suite): void {
  it('makes `publish` wait until the server confirms, in order, or its signal aborts', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, maxPending: 3, publishTimeout: 60_000 });
    await queue.publish('key', { n: 0 });
    proxy.stall();
    const controller = new AbortController();
    const published = upTo(20).map((n) => queue.publish('key', { n }, n === 7 ? { signal: controller.signal } : {}));
    const aborted = failureOf(published[6] as Promise<void>);
    controller.abort(new Error('enough'));
    expect((await aborted).message).toBe('enough');
    proxy.resume();
    const results = await Promise.allSettled(published);
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    const holder = new Holder(suite.open({}), { prefetch: 100 });
    await eventually(() => holder.numbers.length >= 20);
    expect(holder.numbers).toEqual([0, ...upTo(20).filter((n) => n !== 7)]);
  });

  it('rejects pending and waiting publishes after their timeouts and says which were not enqueued', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, maxPending: 2, publishTimeout: 1500 });
    await queue.publish('key', { n: 0 });
    proxy.stall();
    // Start all publishes at the same time: a later one would find credit when the first time out.
    const clock = jest.spyOn(performance, 'now').mockReturnValue(performance.now());
    const failures = upTo(4).map((n) => failureOf(queue.publish('key', { n })));
    clock.mockRestore();
    const errors = await Promise.all(failures);
    expect(errors.map(({ message }) => message).slice(2)).toEqual(
      Array(2).fill(
        expect.stringMatching(
          /had no room for a message within 1500 ms: `maxPending` of 2 messages were not confirmed.*; it was not enqueued$/,
        ),
      ),
    );
    expect(errors.map((error) => (error as { retryable?: boolean }).retryable)).toEqual(Array(4).fill(true));
  });
}
