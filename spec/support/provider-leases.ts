import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import { Holder, upTo } from './consumers.js';
import { eventually } from './eventually.js';

/** Where a queue of the test's name is opened. */
interface Opening {
  open(options: { readonly lease: number }): QueueBackend;
}

/** How many times longer a lease of hundreds of messages is: on a busy machine, it takes a while until they are all here. */
const LONGER = 6;

/** A lease of so many milliseconds that a consumer keeps, while another waits for what it holds. To be called where the suite is described. */
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

  /** Waits for longer than the lease: nobody else has got what the consumer holds, and all of it can be acknowledged. */
  const isKept = async (holder: Holder, count: number, { time = lease, wait = 3 * lease } = {}) => {
    const other = new Holder(suite.open({ lease: time }));
    await sleep(wait);
    expect(other.numbers).toEqual([]);
    expect(holder.deliveries).toHaveLength(count);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual(upTo(count).map(() => true));
  };

  it('is kept while a handler runs for several times as long', async () => {
    await isKept(await prepare(2), 2);
  });

  it('is kept while the consumer holds all that it may, and has nothing to say', async () => {
    await isKept(await prepare(1, { prefetch: 1 }), 1);
  });

  it('is kept after the intake was stopped, while something is out', async () => {
    const aborter = new AbortController();
    const holder = await prepare(1, { signal: aborter.signal });
    aborter.abort();
    await isKept(holder, 1);
    expect(holder.completed).toBe(true);
  });

  it('is kept for hundreds at a time', async () => {
    const time = LONGER * lease;
    await isKept(await prepare(500, { prefetch: 500 }, time), 500, { time, wait: 1.5 * time });
  });
}
