import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from 'sluice';
import type { PostgresBackend } from 'sluice/postgres';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const GROUPS = ['a', 'b'];
const EMPTY = { messages: 0, pending: 0, unplaced: 0 };

const pick = (below: number) => Math.floor(Math.random() * below);

describeWithPostgres('A queue in PostgreSQL under attack', () => {
  retryOnce();
  const suite = new PostgresSuite();

  /** Runs an attack again and again until the returned function is called. */
  const repeat = (attack: (round: number) => Promise<unknown>) => {
    let isOver = false;
    const done = (async () => {
      for (let round = 1; !isOver; round++) await attack(round);
    })();
    return async () => {
      isOver = true;
      await done;
    };
  };

  /** Settles deliveries in random ways. Tells how often a message may be delivered and counted. */
  class Settler {
    readonly done = new Map<number, number>();
    readonly wrong: string[] = [];
    /** The attempts that count, of each message. */
    readonly #counted = new Map<number, number>();

    readonly settle = async (delivery: Delivery): Promise<void> => {
      const n = numberOf(delivery.payload);
      const expected = (this.#counted.get(n) ?? 0) + 1;
      if (delivery.attempt !== expected) this.wrong.push(`${n}: attempt ${delivery.attempt} instead of ${expected}`);
      if (this.done.has(n)) this.wrong.push(`${n}: delivered after it was settled`);
      if (pick(4) === 0) await sleep(pick(30));
      const way = delivery.attempt > 3 ? 9 : pick(10);
      if (way < 2) this.#counted.set(n, expected);
      else if (way > 2) this.done.set(n, (this.done.get(n) ?? 0) + 1);
      const counted =
        way < 2 ? delivery.nack({ delay: way * pick(40) }) : way === 2 ? delivery.release() : delivery.ack();
      if (!(await counted)) this.wrong.push(`${n}: settlement ${way} did not count`);
    };
  }

  it('loses, duplicates and miscounts nothing if replies are lost and sessions end or stall', async () => {
    const { proxy, url } = await suite.proxy();
    const open = (): PostgresBackend => suite.open({ url, groups: GROUPS, lease: 600_000, publishTimeout: 60_000 });
    const queues = [open(), open(), open()];
    const settlers = new Map(GROUPS.map((group) => [group, new Settler()]));
    const holders = queues.flatMap((queue) =>
      GROUPS.map(
        (group) => new Holder(queue, { group, prefetch: 30 }, (delivery) => void settlers.get(group)?.settle(delivery)),
      ),
    );
    let last = 0;
    const publishing = queues.map((queue) =>
      repeat(() =>
        Promise.all(
          upTo(1 + pick(6)).map(() => {
            last += 1;
            const options = { ...(pick(4) === 0 && { delay: pick(50) }), ...(pick(3) === 0 && { id: `id-${last}` }) };
            return queue.publish('key', { n: last }, options);
          }),
        ),
      ),
    );
    const cutting = repeat(async (round) => {
      await sleep(150 + pick(200));
      if (round % 4 === 0) {
        await suite.run(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice' AND random() < 0.5`,
        );
        return;
      }
      // The server executes what it gets. Nobody gets its replies.
      proxy.stall('to-client');
      await sleep(10 + pick(40));
      proxy.cut();
      proxy.resume();
    });
    await sleep(6000);
    await Promise.all(publishing.map((stop) => stop()));
    await cutting();
    const total = last;
    for (const group of GROUPS)
      await eventually(
        () => settlers.get(group)?.done.size === total,
        () => upTo(total).filter((n) => !settlers.get(group)?.done.has(n)),
      );
    const queue = queues[0] as PostgresBackend;
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect([...settlers.values()].flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(holders.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(await suite.tables()).toEqual(EMPTY);
    expect(total).toBeGreaterThan(50);
  });

  it('administrates while others publish, consume and are cut off', async () => {
    const open = (groups: readonly string[] = GROUPS): PostgresBackend =>
      suite.open({ groups, lease: 2000, publishTimeout: 60_000 });
    const queues = [open(), open(), open([...GROUPS, 'old'])];
    const errors: unknown[] = [];
    const holders = queues.flatMap((queue) =>
      [...GROUPS].map(
        (group) =>
          new Holder(
            queue,
            { group, prefetch: 10 },
            (delivery) => void (pick(3) === 0 ? delivery.nack() : delivery.ack()),
          ),
      ),
    );
    let n = 0;
    const stops = queues.map((queue, index) =>
      repeat(async (round) => {
        await queue.publish('key', { n: ++n }, { delay: pick(3) === 0 ? pick(50) : 0 });
        const calls = [
          () => queue.purge(),
          () => queue.purge({ group: 'a' }),
          () => queue.peek({ group: 'b' }),
          () => queue.stats(),
          () => queue.groups(),
          () => (index < 2 ? queue.deleteGroup('old') : queue.stats({ group: 'old' })),
        ];
        if (round % 3 === 0) await calls[pick(calls.length)]?.().catch((error: unknown) => errors.push(error));
      }),
    );
    const cutting = repeat(async () => {
      await sleep(150);
      await suite.run(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice' AND random() < 0.3`,
      );
    });
    await sleep(4000);
    await Promise.all(stops.map((stop) => stop()));
    await cutting();
    expect(errors).toEqual([]);
    expect(holders.map(({ error }) => error).filter(Boolean)).toEqual([]);
    // A backend that reconnects after the deletion would create its group again.
    await Promise.all(queues.map((each) => each.stats()));
    const queue = queues[0] as PostgresBackend;
    await queue.deleteGroup('old');
    await eventually(async () => (await queue.stats()).unfinished === 0);
    await queue.purge();
    expect(await suite.tables()).toEqual(EMPTY);
  });

  it('does not dead-lock when two groups settle, purge and publish the same messages', async () => {
    const queues = upTo(4).map(() => suite.open({ groups: GROUPS }));
    const before = await suite.run<{ deadlocks: number }>(
      'SELECT sum(deadlocks)::integer AS deadlocks FROM pg_stat_database',
    );
    void queues.map(
      (queue, index) =>
        new Holder(queue, { group: GROUPS[index % 2], prefetch: 100 }, (delivery) => void delivery.ack()),
    );
    const stops = [
      ...queues.map((queue) =>
        repeat(() => Promise.all(upTo(20).map((n) => queue.publish('key', { n }, { id: `${pick(50)}` })))),
      ),
      repeat(() => queues[0]?.purge() ?? Promise.resolve()),
      repeat(() => queues[1]?.purge({ group: 'b' }) ?? Promise.resolve()),
    ];
    await sleep(3000);
    await Promise.all(stops.map((stop) => stop()));
    await eventually(async () => (await queues[0]?.stats())?.unfinished === 0);
    await suite.run('SELECT pg_stat_clear_snapshot()');
    const after = await suite.run<{ deadlocks: number }>(
      'SELECT sum(deadlocks)::integer AS deadlocks FROM pg_stat_database',
    );
    expect(after).toEqual(before);
  });
});
