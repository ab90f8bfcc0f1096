import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import { Holder, upTo } from './consumers.js';
import { eventually } from './eventually.js';

/** Opens the test's queue. */
interface Opening {
  open(options: { readonly lease: number }): QueueBackend;
}

/**
 * How many times longer the lease is with hundreds of messages: a busy machine takes a while to
 * deliver them all.
 */
const LONGER = 6;

/**
 * Tests that a consumer renews its lease of `lease` milliseconds while another consumer waits.
 * Call it in the suite's `describe`.
 */
export function keptLeases(suite: Opening, lease: number): void {
  const prepare = async (
    count: number,
    options?: { readonly prefetch?: number; readonly signal?: AbortSignal },
    time = lease,
  ) => {
    const queue = suite.open({ lease: time });
    await Promise.all(upTo(count).map((n) => queue.publish('key', { n })));
    const holder = new Holder(queue, options);
    await eventually(() => holder.deliveries.length === count);
    return holder;
  };

  /**
   * Waits longer than the lease and checks that the consumer still has its messages and that they
   * can be acknowledged.
   */
  const isKept = async (holder: Holder, count: number, { time = lease, wait = 3 * lease } = {}) => {
    const other = new Holder(suite.open({ lease: time }));
    await sleep(wait);
    expect(other.numbers).toEqual([]);
    expect(holder.deliveries).toHaveLength(count);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual(upTo(count).map(() => true));
  };

  it('is renewed while a handler runs several times longer', async () => {
    await isKept(await prepare(2), 2);
  });

  it('is renewed while the consumer has no credit left', async () => {
    await isKept(await prepare(1, { prefetch: 1 }), 1);
  });

  it('is renewed after an abort while a message is in flight', async () => {
    const aborter = new AbortController();
    const holder = await prepare(1, { signal: aborter.signal });
    aborter.abort();
    await isKept(holder, 1);
    expect(holder.completed).toBe(true);
  });

  it('is renewed for hundreds of messages', async () => {
    const time = LONGER * lease;
    await isKept(await prepare(500, { prefetch: 500 }, time), 500, { time, wait: 1.5 * time });
  });
}
