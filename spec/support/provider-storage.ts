import type { Delivery, QueueBackend } from 'sluice';
import { Holder, upTo } from './consumers.js';
import { eventually } from './eventually.js';

/** A queue of the test's name, and what is stored of it. */
interface Storage {
  open(options: { readonly groups: readonly string[] }): QueueBackend;
  /** How many messages are stored. */
  length(): Promise<number | undefined>;
  /** Looks whether so many messages are stored; waits for that where what is settled goes later. */
  holds(count: number): Promise<void>;
  /** Looks whether nothing is stored of any message, once these groups are done with all. */
  isEmpty(groups: readonly string[]): Promise<void>;
}

/** How a message is settled that comes for the first time, in turn. */
const WAYS: readonly ((delivery: Delivery) => Promise<unknown>)[] = [
  (delivery) => delivery.ack(),
  (delivery) => delivery.nack(),
  (delivery) => delivery.reject('no'),
  (delivery) => delivery.nack({ delay: 30 }),
  (delivery) => delivery.release(),
];

/** What a broker keeps that lets go of a message when all groups have settled it. To be called where the suite is described. */
export function providerStorage({ open, length, holds, isEmpty }: Storage): void {
  const publish = (queue: QueueBackend, count: number) =>
    Promise.all(upTo(count).map((n) => queue.publish('key', { n })));

  it('is nothing of any message, once everything is settled in any order and in any way', async () => {
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

  it('is what the slowest group has not settled', async () => {
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
