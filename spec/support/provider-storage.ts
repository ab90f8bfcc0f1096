import type { Delivery, QueueBackend } from 'sluice';
import { Holder, upTo } from './consumers.js';
import { eventually } from './eventually.js';

/** The test's queue and what the broker stores of it. */
interface Storage {
  open(options: { readonly groups: readonly string[] }): QueueBackend;
  /** Returns the number of stored messages. */
  length(): Promise<number | undefined>;
  /** Checks that this many messages are stored. Waits if settled messages are deleted later. */
  holds(count: number): Promise<void>;
  /** Checks that nothing is stored of any message after these groups have settled all. */
  isEmpty(groups: readonly string[]): Promise<void>;
}

/** How a message is settled on its first delivery, in turn. */
const WAYS: readonly ((delivery: Delivery) => Promise<unknown>)[] = [
  (delivery) => delivery.ack(),
  (delivery) => delivery.nack(),
  (delivery) => delivery.reject('no'),
  (delivery) => delivery.nack({ delay: 30 }),
  (delivery) => delivery.release(),
];

/**
 * Tests the storage of a broker that deletes a message when all groups have settled it.
 * Call it in the suite's `describe`.
 */
export function providerStorage({ open, length, holds, isEmpty }: Storage): void {
  const publish = (queue: QueueBackend, count: number) =>
    Promise.all(upTo(count).map((n) => queue.publish('key', { n })));

  it('is empty after every message is settled, in any order and in any way', async () => {
    const groups = ['a', 'b', 'c'];
    const queue = open({ groups });
    await publish(queue, 40);
    await queue.publish('key', { n: 41 }, { delay: 20 });
    for (const group of groups) {
      let turn = 0;
      const seen = new Set<string>();
      const settle = async (delivery: Delivery) => {
        const isFirst = delivery.attempt === 1 && !seen.has(delivery.id);
        seen.add(delivery.id);
        await (isFirst ? WAYS[turn++ % WAYS.length]?.(delivery) : delivery.ack());
      };
      const holder = new Holder(queue, { group, prefetch: 50 });
      await eventually(async () => {
        const [first, ...rest] = holder.held.toReversed();
        for (const delivery of [...rest, first]) if (delivery !== undefined) await settle(delivery);
        return (await queue.stats({ group })).unfinished === 0;
      });
      holder.subscription.unsubscribe();
    }
    await isEmpty(groups);
  });

  it('holds the messages that the slowest group has not settled', async () => {
    const queue = open({ groups: ['fast', 'slow'] });
    await publish(queue, 10);
    const fast = new Holder(queue, { group: 'fast' });
    await eventually(() => fast.deliveries.length === 10);
    await Promise.all(fast.held.map((delivery) => delivery.ack()));
    const slow = new Holder(queue, { group: 'slow', prefetch: 4 });
    await eventually(() => slow.deliveries.length === 4);
    expect(await length()).toBe(10);
    await slow.of(3).ack();
    await holds(9);
    await slow.of(1).ack();
    await slow.of(2).ack();
    await holds(7);
    await eventually(() => slow.deliveries.length === 7);
    slow.subscription.unsubscribe();
    void new Holder(queue, { group: 'slow' }, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats()).unfinished === 0);
    await isEmpty(['fast', 'slow']);
  });
}
