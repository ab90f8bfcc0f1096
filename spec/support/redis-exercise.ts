import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisBackend } from 'sluice/redis';
import { Holder, upTo } from './consumers.js';
import { eventually } from './eventually.js';
import type { RedisSuite } from './redis-suite.js';

/** The groups of a queue that uses every feature. */
export const EXERCISED: readonly string[] = ['a', 'b', 'late {group}'];

/**
 * Makes a queue with the groups of `EXERCISED` use every feature, so that every kind of key exists
 * at some time.
 * @param open opens the queue with a lease in milliseconds
 * @param look is called from time to time while keys of every kind exist
 */
export async function exercise(
  suite: RedisSuite,
  open: (lease: number) => RedisBackend,
  look: () => Promise<void>,
): Promise<void> {
  const queue = open(200);
  await Promise.all(upTo(8).map((n) => queue.publish('key', { n }, n % 2 === 0 ? {} : { headers: { n: String(n) } })));
  await suite.run('XADD', suite.name, '*', 'not', 'ours');
  // A consumer that takes messages and then stops responding.
  await suite.run('XREADGROUP', 'GROUP', 'b', 'dead~200', 'COUNT', '2', 'STREAMS', suite.name, '>');
  const later = queue.publish('key', { n: 9 }, { delay: 400 });
  const holders = EXERCISED.map((group) => new Holder(queue, { group }));
  await later;
  await look();
  for (const holder of holders) {
    await eventually(() => holder.deliveries.length >= 8);
    await holder.of(1).nack();
    await holder.of(2).nack({ delay: 300 });
    await holder.of(3).release();
    await holder.of(4).reject('no good');
    await holder.of(5).ack();
  }
  await look();
  await queue.stats();
  await queue.stats({ group: 'a' });
  // The consumers now block on their listeners and are asked to stop.
  await sleep(100);
  for (const holder of holders) holder.subscription.unsubscribe();
  await look();
  for (const group of EXERCISED) {
    for await (const { payload } of queue.deliveries({ group, prefetch: 3 }))
      if ((payload as { n: number }).n === 9) break;
  }
  await look();
  const last = EXERCISED.map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
  await eventually(async () => (await queue.stats()).unfinished === 0);
  await look();
  for (const { subscription } of last) subscription.unsubscribe();
  await publishForOneGroup(queue, look);
  await queue.close();
  await settleOutOfOrder(open(60_000), look);
}

/**
 * Publishes a message for one group. When it is settled, one other group has read it and one has
 * not.
 */
async function publishForOneGroup(queue: RedisBackend, look: () => Promise<void>): Promise<void> {
  await queue.publish('key', { n: 10 }, { group: 'a' });
  await queue.publish('key', { n: 11 }, { group: 'a', delay: 1 });
  await look();
  const holders = ['a', 'b'].map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
  await eventually(async () => (await queue.stats()).unfinished === 0);
  for (const { subscription } of holders) subscription.unsubscribe();
}

/**
 * Settles many messages out of order, the first published one last. The messages that wait to be
 * trimmed are removed a third of the lease later.
 */
async function settleOutOfOrder(queue: RedisBackend, look: () => Promise<void>): Promise<void> {
  await Promise.all(upTo(30).map((n) => queue.publish('key', { n })));
  const holders = EXERCISED.map((group) => new Holder(queue, { group }));
  for (const holder of holders) {
    await eventually(() => holder.deliveries.length === 30);
    await Promise.all(upTo(29).map((n) => holder.of(n + 1).ack()));
  }
  await look();
  for (const holder of holders) await holder.of(1).ack();
  await look();
  await queue.close();
  await look();
}
