import { ConsumerProcess } from '../support/consumer-process.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';
import { Tally } from '../support/tally.js';

const LEASE = 1000;

describeWithPostgres('Leases of a queue in PostgreSQL', () => {
  retryOnce();
  const suite = new PostgresSuite();

  /** Resolves when the clock of the server has advanced by some milliseconds. */
  const pass = async (milliseconds: number) => {
    const [row] = await suite.run(`SELECT clock_timestamp() + $1 * interval '1 ms' AS at`, [milliseconds]);
    await eventually(
      async () => (await suite.run('SELECT clock_timestamp() > $1 AS over', [row?.at]))[0]?.over === true,
    );
  };

  const process = async (id: number, lease = LEASE) => {
    const settings = {
      backend: 'postgres',
      options: { url: suite.url, name: suite.name, lease },
      consume: { prefetch: 1 },
      work: 'until-told' as const,
    };
    const consumer = await ConsumerProcess.start(settings, new Tally());
    suite.ending(() => consumer.kill());
    await suite.open().publish('key', { id });
    await eventually(() => consumer.got.length === 1);
    return consumer;
  };

  it('of a process that is killed expire, and that counts as an attempt', async () => {
    const dead = await process(1);
    const holder = new Holder(suite.open({ lease: LEASE }));
    await dead.kill();
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.deliveries[0]).toMatchObject({ payload: { id: 1 }, attempt: 2 });
    expect(await holder.deliveries[0]?.ack()).toBe(true);
    expect(await suite.run('SELECT FROM sluice.consumers c WHERE c.expires < clock_timestamp()')).toEqual([]);
  });

  it('that have expired stay with a consumer that comes back first', async () => {
    const queue = suite.open();
    await Promise.all([1, 2].map((n) => queue.publish('key', { n })));
    const exchange = (request: number, demand: number) =>
      suite.run<{ place: string | null }>(
        `SELECT place FROM sluice.exchange($1, 'default', 7, $2, 60000, NULL, NULL, NULL, NULL, NULL, NULL, $3, true, false, 0)`,
        [suite.name, request, demand],
      );
    const places = async (request: number) => (await exchange(request, 1)).filter(({ place }) => place !== null).length;
    expect(await places(1)).toBe(1);
    await suite.run("UPDATE sluice.consumers SET expires = clock_timestamp() - interval '1 s' WHERE id = 7");
    expect(await places(2)).toBe(1);
    expect(await suite.run('SELECT attempt FROM sluice.claims, unnest(places) WHERE consumer = 7')).toEqual([
      { attempt: 1 },
      { attempt: 1 },
    ]);
    // Another consumer gets both: the consumer is still known, and its lease has expired.
    const holder = new Holder(suite.open());
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.deliveries.map(({ attempt }) => attempt)).toEqual([2, 2]);
  });

  it('of a process that leaves end at once', async () => {
    const leaving = await process(1, 600_000);
    const holder = new Holder(suite.open({ lease: LEASE }));
    await leaving.leave();
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.deliveries[0]).toMatchObject({ payload: { id: 1 }, attempt: 2 });
  });

  it('of a process that is suspended for longer expire: its acknowledgement does not count', async () => {
    const frozen = await process(1);
    const holder = new Holder(suite.open({ lease: LEASE }));
    frozen.freeze();
    await eventually(() => holder.deliveries.length === 1);
    frozen.thaw();
    frozen.finish();
    await eventually(() => frozen.settled.size === 1);
    expect(frozen.settled.get(1)).toBe(false);
    expect(holder.deliveries[0]).toMatchObject({ attempt: 2 });
    expect(await holder.deliveries[0]?.ack()).toBe(true);
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });

  it('are renewed, however long a handler runs', async () => {
    const queue = suite.open({ lease: LEASE });
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const other = new Holder(suite.open({ lease: LEASE }));
    await pass(3 * LEASE);
    expect(await holder.of(1).ack()).toBe(true);
    expect(other.deliveries).toEqual([]);
  });

  it('of a consumer whose connection stalls expire: its acknowledgement does not count', async () => {
    const { proxy, url } = await suite.proxy();
    const stalled = new Holder(suite.open({ url, lease: LEASE }), { prefetch: 1 });
    await suite.open().publish('key', { n: 1 });
    await eventually(() => stalled.deliveries.length === 1);
    const holder = new Holder(suite.open({ lease: LEASE }));
    proxy.stall();
    await eventually(() => holder.deliveries.length === 1);
    const acknowledged = stalled.of(1).ack();
    proxy.resume();
    expect(await acknowledged).toBe(false);
    expect(holder.attempts).toEqual([[1, 2]]);
    expect(await holder.of(1).ack()).toBe(true);
  });

  it('survive a restart of the server that takes longer', async () => {
    const queue = suite.open({ lease: LEASE });
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const other = new Holder(suite.open({ lease: LEASE }));
    await suite.closeOwn();
    await suite.server.shutDown();
    await new Promise((resolve) => setTimeout(resolve, 1.5 * LEASE));
    await suite.server.start();
    await queue.publish('key', { n: 2 });
    await eventually(() => [...holder.numbers, ...other.numbers].includes(2));
    expect(await holder.of(1).ack()).toBe(true);
    expect(other.attempts).toEqual([[2, 1]]);
  });
});
