import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { PostgresBackend, PostgresBackendOptions } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

/** In milliseconds. Longer than the test, so that no lease expires. */
const NEVER = 600_000;

describeWithPostgres('An idle consumer of a queue in PostgreSQL', () => {
  retryOnce();
  const suite = new PostgresSuite();

  const open = (options: Partial<PostgresBackendOptions> = {}): PostgresBackend =>
    suite.open({ lease: NEVER, ...options });

  const connect = async () => {
    const client = new Client({ connectionString: suite.url });
    await client.connect();
    suite.ending(() => client.end());
    return client;
  };

  /** Collects the notifications of the test's queue. */
  const notifications = async () => {
    const client = await connect();
    const all: string[] = [];
    client.on('notification', ({ payload }) => {
      if (payload === `sluice.${suite.name}`) all.push(String(payload));
    });
    await client.query('LISTEN sluice');
    /** Notifications come before the reply of a query that follows them. */
    return async () => {
      await client.query('SELECT');
      return all.length;
    };
  };

  const idleConsumers = async () =>
    (
      await suite.run<{ count: number }>(
        `SELECT count(*)::integer FROM sluice.consumers c JOIN sluice.groups g ON g.id = c.grp
         JOIN sluice.queues q ON q.id = g.queue WHERE c.idle AND q.name = $1`,
        [suite.name],
      )
    )[0]?.count;

  const isIdle = (count = 1) => eventually(async () => (await idleConsumers()) === count);

  /** Makes an idle consumer that does not look by itself any more, for seconds. */
  const idle = async (prefetch = 10) => {
    const holder = new Holder(open(), { prefetch });
    await isIdle();
    await sleep(1700);
    return holder;
  };

  const comes = (holder: Holder, n = 1) => eventually(() => holder.numbers.includes(n));

  it('causes one notification for each batch; without one, nothing is sent', async () => {
    const count = await notifications();
    const queue = open();
    const publishMany = (from: number) => Promise.all(upTo(100).map((n) => queue.publish('key', { n: from + n })));
    await publishMany(0);
    expect(await count()).toBe(0);
    const holder = new Holder(queue, { prefetch: 400 });
    await eventually(() => holder.deliveries.length === 100);
    await isIdle();
    const before = await count();
    await publishMany(100);
    await eventually(() => holder.deliveries.length === 200);
    expect((await count()) - before).toBe(1);
    expect(holder.numbers).toEqual(upTo(200));
  });

  it('causes none while all consumers are busy', async () => {
    const count = await notifications();
    const queue = open();
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 1 });
    await comes(holder);
    await eventually(async () => (await idleConsumers()) === 0);
    const before = await count();
    for (const n of [2, 3, 4]) await queue.publish('key', { n });
    expect(await count()).toBe(before);
  });

  it('causes none when it has left', async () => {
    const count = await notifications();
    const consumer = open();
    new Holder(consumer);
    await isIdle();
    await consumer.close();
    const before = await count();
    await open().publish('key', { n: 1 });
    expect(await count()).toBe(before);
  });

  it('is not counted when it polls', async () => {
    const count = await notifications();
    const holder = new Holder(open({ pollInterval: 20 }));
    await open().publish('key', { n: 1 });
    await comes(holder);
    await open().publish('key', { n: 2 });
    await comes(holder, 2);
    expect(await count()).toBe(0);
  });

  it('receives a message that another backend publishes', async () => {
    const holder = await idle();
    await open().publish('key', { n: 1 });
    await comes(holder);
  });

  it('receives messages that another backend publishes with a delay, in the order of their due times', async () => {
    const publisher = open();
    await publisher.publish('key', { n: 1 }, { delay: NEVER });
    const holder = await idle();
    await publisher.publish('key', { n: 2 }, { delay: 600 });
    await publisher.publish('key', { n: 3 }, { delay: 300 });
    await comes(holder, 2);
    expect(holder.numbers).toEqual([3, 2]);
  });

  it.each<[how: string, giveBack: (holder: Holder, queue: PostgresBackend) => unknown]>([
    ['releases', ({ deliveries: [delivery] }) => delivery?.release()],
    ['nacks', ({ deliveries: [delivery] }) => delivery?.nack()],
    ['nacks with a delay', ({ deliveries: [delivery] }) => delivery?.nack({ delay: 200 })],
    ['requeues by unsubscribing', ({ subscription }) => subscription.unsubscribe()],
    ['requeues by closing', (_holder, queue) => queue.close()],
  ])('receives a message that another consumer %s before it leaves', async (_how, giveBack) => {
    const queue = open();
    await queue.publish('key', { n: 1 });
    const busy = new Holder(queue, { prefetch: 1 });
    await comes(busy);
    const holder = await idle();
    const given = giveBack(busy, queue);
    busy.subscription.unsubscribe();
    await given;
    await comes(holder);
  });

  it('receives the messages of a consumer that dies', async () => {
    const { proxy, url } = await suite.proxy();
    const dying = new Holder(open({ url, lease: 1000 }), { prefetch: 1 });
    await open().publish('key', { n: 1 });
    await comes(dying);
    const holder = new Holder(open({ lease: 1000 }));
    await isIdle();
    await proxy.refuse();
    proxy.cut();
    await comes(holder);
    expect(holder.attempts).toEqual([[1, 2]]);
  });

  it('receives a message of a transaction that began before it was idle', async () => {
    const queue = open();
    await queue.stats();
    const client = await connect();
    await client.query('BEGIN');
    await queue.within(client).publish('key', { n: 1 });
    const holder = new Holder(open());
    await isIdle();
    await client.query('COMMIT');
    await comes(holder);
  });

  it('receives a message of a transaction that commits while it is idle', async () => {
    const queue = open();
    const holder = await idle();
    const client = await connect();
    await client.query('BEGIN');
    await queue.within(client).publish('key', { n: 1 });
    await client.query('COMMIT');
    await comes(holder);
  });

  it('receives a message that another program stores', async () => {
    const holder = await idle();
    const sent = JSON.stringify([{ id: 'id', key: 'key', payload: '{"n":1}', published: 0 }]);
    await suite.run(`SELECT sluice.publish($1, 'me', 1, 1000, 1000, true, $2)`, [suite.name, sent]);
    await comes(holder);
  });

  it('is woken for its own group', async () => {
    const queue = open({ groups: ['a', 'b'] });
    const a = new Holder(queue, { group: 'a' });
    const b = new Holder(open({ groups: ['a', 'b'] }), { group: 'b' });
    await isIdle(2);
    await open({ groups: ['a', 'b'] }).publish('key', { n: 1 }, { group: 'b' });
    await comes(b);
    await queue.publish('key', { n: 2 });
    await eventually(() => a.numbers.includes(2) && b.numbers.includes(2));
    expect(a.numbers).toEqual([2]);
  });

  it('looks again when it listens again after its connection for notifications was lost', async () => {
    const holder = await idle();
    const listening = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()";
    const [old] = await suite.run<{ pid: number }>(`SELECT pid ${listening}`);
    await suite.run('SELECT pg_terminate_backend($1)', [old?.pid]);
    await open().publish('key', { n: 1 });
    await comes(holder);
    await eventually(async () =>
      (await suite.run<{ pid: number }>(`SELECT pid ${listening}`)).some(({ pid }) => pid !== old?.pid),
    );
    await isIdle();
    await open().publish('key', { n: 2 });
    await comes(holder, 2);
  });
});
