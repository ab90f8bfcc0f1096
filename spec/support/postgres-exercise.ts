import { Client } from 'pg';
import type { PostgresBackend } from 'sluice/postgres';
import { Holder } from './consumers.js';
import { eventually } from './eventually.js';
import type { PostgresSuite } from './postgres-suite.js';

/**
 * Makes the test's queue use every feature.
 * @param open opens the queue, with the groups `a` and `b` or only with `a`
 * @param url of the role that publishes in a transaction
 * @throws the first error of a publish, a stream or a call
 */
export async function exercisePostgres(
  suite: PostgresSuite,
  open: (groups: readonly string[]) => PostgresBackend,
  url: string,
): Promise<void> {
  const queue = open(['a', 'b']);
  await queue.publish('key', { n: 1 }, { id: 'one' });
  await queue.publish('key', { n: 1 }, { id: 'one' });
  await queue.publish('key', { n: 2 }, { delay: 20 });
  await queue.publish('key', { n: 3 }, { group: 'a' });
  await publishWithin(queue, url);
  // Another program stores a message with a broken payload.
  await suite.run(
    `INSERT INTO sluice.messages (queue, id, key, payload, published_at)
     SELECT id, 'foreign', 'key', '{broken', 0 FROM sluice.queues WHERE name = $1`,
    [suite.name],
  );
  const holder = new Holder(queue, { group: 'a' });
  const has = (count: number) =>
    eventually(() => {
      if (holder.error !== undefined) throw holder.error;
      return holder.deliveries.length >= count;
    });
  await has(4);
  // Longer than a busy machine takes to send it: the delay must still be there.
  await holder.of(1).nack({ delay: 200 });
  await holder.of(2).release();
  await holder.of(3).reject('no');
  await has(6);
  await holder.of(1).ack();
  await queue.stats();
  await queue.stats({ group: 'a' });
  holder.subscription.unsubscribe();
  await queue.peek({ group: 'a' });
  await queue.groups();
  await queue.close();
  const next = open(['a']);
  await next.deleteGroup('b');
  await next.publish('key', { n: 5 }, { delay: 60_000 });
  await next.purge({ group: 'a' });
  await next.purge();
  await next.close();
}

/** Publishes message 4 in a transaction. */
async function publishWithin(queue: PostgresBackend, url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN');
    await queue.within(client).publish('key', { n: 4 }, { id: 'four' });
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
}
