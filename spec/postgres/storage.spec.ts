import type { PostgresBackend } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { providerStorage } from '../support/provider-storage.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const EMPTY = { messages: 0, pending: 0, unplaced: 0 };

describeWithPostgres('The tables of a queue in PostgreSQL', () => {
  const suite = new PostgresSuite();

  const length = async () => (await suite.tables()).messages;

  providerStorage({
    open: (options) => suite.open(options),
    length,
    holds: async (count) => expect(await length()).toBe(count),
    isEmpty: async () => expect(await suite.tables()).toEqual(EMPTY),
  });

  it('are empty after two groups acknowledge the same messages at the same instant', async () => {
    const groups = ['a', 'b'];
    const queues = groups.map(() => suite.open({ groups }));
    const holders = queues.map((queue, index) => new Holder(queue, { group: groups[index], prefetch: 1000 }));
    for (const round of upTo(40)) {
      await Promise.all(upTo(10).map((n) => queues[n % 2]?.publish('key', { n: round * 100 + n })));
      await eventually(() => holders.every(({ held }) => held.length === 10));
      const settled = holders.flatMap(({ held }, index) =>
        (index === 0 ? held : held.toReversed()).map((delivery) => delivery.ack()),
      );
      expect(await Promise.all(settled)).not.toContain(false);
      expect(await suite.tables()).toEqual(EMPTY);
    }
  });

  it('are swept of ids and batches that have expired', async () => {
    const queue = suite.open({ dedupeWindow: 100, publishTimeout: 1000 });
    for (const n of upTo(5)) await queue.publish('key', { n }, { id: `id-${n}` });
    const rows = async (table: string) => (await suite.run(`SELECT FROM sluice.${table}`)).length;
    expect(await rows('ids')).toBeGreaterThanOrEqual(5);
    // A publisher needs only its last batch.
    const before = await rows('batches');
    for (const n of upTo(20)) await queue.publish('key', { n });
    expect(await rows('batches')).toBe(before);
    await suite.run("UPDATE sluice.batches SET expires = clock_timestamp() - interval '1 s'");
    await eventually(async () => {
      await queue.purge();
      return (await rows('ids')) === 0 && (await rows('batches')) === 0;
    });
  });

  it('have one cursor for each group', async () => {
    const groups = ['a', 'b'];
    const queue = suite.open({ groups });
    const holders = groups.map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
    for (const n of upTo(50)) await queue.publish('key', { n });
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 50));
    const cursors = await suite.run(
      `SELECT FROM sluice.cursors c JOIN sluice.groups g ON g.id = c.grp JOIN sluice.queues q ON q.id = g.queue WHERE q.name = $1`,
      [suite.name],
    );
    expect(cursors).toHaveLength(2);
  });

  it('keep nothing but what the next purge removes if groups are purged, deleted and made meanwhile', async () => {
    const groups = ['a', 'b'];
    const open = (...extra: string[]): PostgresBackend => suite.open({ groups: [...groups, ...extra] });
    const [one, two] = [open(), open()] as [PostgresBackend, PostgresBackend];
    const holders = [one, two].flatMap((queue) =>
      groups.map((group) => {
        let turn = 0;
        return new Holder(queue, { group, prefetch: 20 }, (delivery) => {
          turn += 1;
          void (turn % 5 === 0 && delivery.attempt < 3 ? delivery.nack({ delay: turn % 10 }) : delivery.ack());
        });
      }),
    );
    let isOver = false;
    const publishing = (async () => {
      for (let n = 1; !isOver; n++) await one.publish('key', { n }, { delay: n % 3 === 0 ? 5 : 0 });
    })();
    for (const round of upTo(25)) {
      const extra = open('extra');
      await extra.stats();
      const [purged] = await Promise.all([two.purge(), two.peek({ group: 'a' }), two.stats(), two.groups()]);
      expect(purged).toBeGreaterThanOrEqual(0);
      await extra.close();
      await Promise.all([one.deleteGroup('extra'), two.purge({ group: round % 2 === 0 ? 'a' : 'b' })]);
    }
    isOver = true;
    await publishing;
    await eventually(async () => (await one.stats()).unfinished === 0);
    expect(holders.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    await one.purge();
    expect(await suite.tables()).toEqual(EMPTY);
    expect(holders[0]?.deliveries.length).toBeGreaterThan(0);
  });
});
