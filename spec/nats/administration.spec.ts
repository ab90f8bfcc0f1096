import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageView } from 'sluice';
import type { NatsBackend } from 'sluice/nats';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;
const GROUPS = ['a', 'b'];

const numbersOf = (views: readonly MessageView[]) => views.map(({ payload }) => (payload as { n: number }).n);

const publish = async (queue: NatsBackend, ...numbers: number[]) => {
  for (const n of numbers) await queue.publish('key', { n });
};

/** How many messages `publishDelayed` publishes. */
const DELAYED = 60;

/** Publishes messages whose delays end one after another, from now on. */
const publishDelayed = async (queue: NatsBackend, options: { readonly group?: string } = {}) => {
  await queue.stats();
  await Promise.all(upTo(DELAYED).map((n) => queue.publish('key', { n }, { delay: 2 * n, ...options })));
};

/** Takes messages, then stops its intake. */
const taking = async (queue: NatsBackend, count: number, group?: string) => {
  const intake = new AbortController();
  const holder = new Holder(queue, { prefetch: count, signal: intake.signal, ...(group !== undefined && { group }) });
  await eventually(() => holder.deliveries.length === count);
  intake.abort();
  return holder;
};

describeWithNats('groups() on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  it('lists the declared groups and those of other processes, also with encoded names', async () => {
    const long = 'g'.repeat(200);
    const other = suite.open({ groups: ['b.c', long] });
    await publish(other, 1, 2);
    await other.publish('key', { n: 3 }, { group: 'b.c', delay: HOUR });
    const queue = suite.open({ groups: ['a', long] });
    const groups = await queue.groups();
    expect(groups.toSorted((one, another) => one.name.localeCompare(another.name))).toEqual([
      { name: 'a', declared: true, ready: 2, unfinished: 2 },
      { name: 'b.c', declared: false, ready: 2, unfinished: 3 },
      { name: long, declared: true, ready: 2, unfinished: 2 },
    ]);
  });
});

describeWithNats('deleteGroup() on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  it('deletes the consumer, and the messages that only the group gets', async () => {
    const other = suite.open({ groups: GROUPS });
    await publish(other, 1);
    for (const delay of [0, HOUR]) await other.publish('key', { n: 2 }, { group: 'b', delay });
    await other.close();
    const queue = suite.open({ groups: ['a'] });
    expect([await queue.deleteGroup('b'), await queue.deleteGroup('b')]).toEqual([true, false]);
    expect([await suite.length(), await suite.length(suite.names.delayedStream)]).toEqual([1, 0]);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('deletes the messages whose delay ends meanwhile, also in another process', async () => {
    const other = suite.open({ groups: GROUPS });
    await publishDelayed(other, { group: 'b' });
    expect(await suite.open({ groups: ['a'] }).deleteGroup('b')).toBe(true);
    await sleep(2 * DELAYED);
    expect([await suite.length(), await suite.length(suite.names.delayedStream)]).toEqual([0, 0]);
  });
});

describeWithNats('peek() on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  it('shows the waiting and requeued messages of this process', async () => {
    const queue = suite.open();
    await publish(queue, ...upTo(6));
    const holder = await taking(queue, 5);
    await holder.of(1).nack({ delay: HOUR });
    await holder.of(2).nack();
    await holder.of(3).release();
    await holder.of(4).ack();
    const views = await queue.peek();
    expect(views.map(({ payload, attempt, due }) => [payload, attempt, due !== undefined])).toEqual([
      [{ n: 2 }, 2, false],
      [{ n: 3 }, 1, false],
      [{ n: 6 }, 1, false],
      [{ n: 1 }, 2, true],
    ]);
    expect(Math.abs((views[3]?.due ?? 0) - Date.now() - HOUR)).toBeLessThan(60_000);
  });

  it('shows the requeued messages of another process, unless a consumer waits', async () => {
    const queue = suite.open();
    await publish(queue, 1, 2);
    const holder = await taking(queue, 1);
    await holder.of(1).release();
    const other = suite.open();
    expect(numbersOf(await other.peek())).toEqual([1, 2]);
    const waiting = new Holder(queue, { prefetch: 3 });
    await eventually(() => waiting.deliveries.length === 2);
    expect(numbersOf(await other.peek())).toEqual([]);
  });

  it('shows no settled message that another group still needs', async () => {
    const queue = suite.open({ groups: GROUPS });
    await publish(queue, ...upTo(4));
    const holder = await taking(queue, 3, 'a');
    await holder.of(2).ack();
    await holder.of(3).ack();
    expect(numbersOf(await queue.peek({ group: 'a' }))).toEqual([4]);
    expect(numbersOf(await suite.open({ groups: GROUPS }).peek({ group: 'a' }))).toEqual([4]);
    expect(numbersOf(await queue.peek({ group: 'b' }))).toEqual(upTo(4));
  });

  it('skips unreadable messages, and reads a stream with gaps', async () => {
    const queue = suite.open();
    await publish(queue, ...upTo(40));
    await suite.add(`${suite.names.stream}.k`, 'odd');
    const manager = await suite.manager();
    for (let seq = 2; seq < 40; seq++) await manager.streams.deleteMessage(suite.names.stream, seq);
    expect(numbersOf(await queue.peek())).toEqual([1, 40]);
  });

  it('shows the delayed messages of the group by due time', async () => {
    const queue = suite.open({ groups: GROUPS });
    await queue.publish('key', { n: 1 }, { delay: 3 * HOUR, id: 'late' });
    await queue.publish('key', { n: 2 }, { delay: HOUR, group: 'a' });
    await queue.publish('key', { n: 3 }, { delay: HOUR, group: 'b' });
    await publish(queue, 4);
    const views = await queue.peek({ group: 'a' });
    expect(numbersOf(views)).toEqual([4, 2, 1]);
    expect(views[2]).toMatchObject({ id: 'late', key: 'key', attempt: 1 });
  });
});

describeWithNats('peek() on NATS while delays end', () => {
  retryOnce();
  const suite = new NatsSuite();

  it.each(['this process', 'another process'])('shows each message once, if %s moves it', async (mover) => {
    const queue = suite.open();
    await queue.stats();
    await publishDelayed(mover === 'this process' ? queue : suite.open());
    for (let ready = 0; ready < DELAYED; ) {
      const views = await queue.peek({ limit: 2 * DELAYED });
      expect(numbersOf(views).toSorted((one, other) => one - other)).toEqual(upTo(DELAYED));
      ready = views.filter(({ due }) => due === undefined).length;
    }
  });
});

describeWithNats('purge() on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  const lengths = async () => [await suite.length(), await suite.length(suite.names.delayedStream)];

  it('deletes and counts the waiting and delayed messages', async () => {
    const queue = suite.open();
    await publish(queue, 1, 2);
    for (const delay of [HOUR, 20]) await queue.publish('key', { n: 3 }, { delay });
    await publish(queue, 4, 5);
    expect(await queue.purge()).toBe(6);
    expect(await lengths()).toEqual([0, 0]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await publish(queue, 6);
    expect(numbersOf(await queue.peek())).toEqual([6]);
  });

  it('keeps messages in flight, in this process and in others', async () => {
    const [queue, other] = [suite.open(), suite.open()];
    await publish(queue, ...upTo(6));
    const [here, elsewhere] = [await taking(queue, 2), await taking(other, 2)];
    expect(await queue.purge()).toBe(2);
    expect(await Promise.all([...here.held, ...elsewhere.held].map((delivery) => delivery.ack()))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('removes requeued messages, and those that this process nacked with a delay', async () => {
    const queue = suite.open();
    await publish(queue, ...upTo(5));
    const holder = await taking(queue, 4);
    await holder.of(1).nack({ delay: HOUR });
    await holder.of(2).nack();
    await holder.of(3).release();
    expect(await queue.purge()).toBe(4);
    expect(await holder.of(4).ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await eventually(async () => (await suite.length()) === 0);
    expect((await suite.group()).num_ack_pending).toBe(0);
  });

  it('removes messages whose delay ends meanwhile in another process, and counts each once', async () => {
    const queue = suite.open();
    await queue.stats();
    await publishDelayed(suite.open());
    expect(await queue.purge()).toBe(DELAYED);
    await sleep(2 * DELAYED);
    expect(await lengths()).toEqual([0, 0]);
  });

  it.each(['this process', 'another process'])(
    'leaves each other group one copy of a message whose delay ends meanwhile in %s',
    async (mover) => {
      const queue = suite.open({ groups: GROUPS });
      await queue.stats();
      await publishDelayed(mover === 'this process' ? queue : suite.open({ groups: GROUPS }));
      expect(await queue.purge({ group: 'a' })).toBe(DELAYED);
      const holder = new Holder(queue, { group: 'b' }, (delivery) => void delivery.ack());
      await eventually(async () => (await queue.stats()).unfinished === 0);
      expect(holder.numbers.toSorted((one, other) => one - other)).toEqual(upTo(DELAYED));
      expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 0 });
    },
  );

  it('removes no message that a consumer receives meanwhile', async () => {
    const queue = suite.open();
    const other = suite.open();
    await Promise.all(upTo(3000).map((n) => other.publish('key', { n })));
    const holder = new Holder(other, { prefetch: 20 }, (delivery) => setTimeout(() => void delivery.ack(), 1));
    await eventually(() => holder.deliveries.length > 50);
    const removed = await queue.purge();
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(removed + holder.deliveries.length).toBe(3000);
  });

  it('takes no message that is published meanwhile if no message is in flight', async () => {
    const queue = suite.open();
    const other = suite.open();
    await Promise.all(upTo(500).map((n) => other.publish('key', { n })));
    const purging = new AbortController();
    const purged = queue.purge().finally(() => purging.abort());
    while (!purging.signal.aborted) await Promise.all(upTo(10).map((n) => other.publish('key', { n })));
    await purged;
    const { ready } = await queue.stats();
    const holder = new Holder(queue, { prefetch: 1000 }, (delivery) => void delivery.ack());
    await eventually(() => holder.deliveries.length === ready);
    expect(holder.attempts.filter(([, attempt]) => attempt > 1)).toEqual([]);
  });

  it('moves one group past messages that another group needs', async () => {
    const queue = suite.open({ groups: GROUPS });
    await publish(queue, ...upTo(600));
    await queue.publish('key', { n: 601 }, { group: 'a' });
    await queue.publish('key', { n: 602 }, { group: 'b' });
    expect(await queue.purge({ group: 'a' })).toBe(601);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 601, unfinished: 601 });
    const holder = new Holder(queue, { group: 'b', prefetch: 700 }, (delivery) => void delivery.ack());
    await eventually(() => holder.deliveries.length === 601);
    await eventually(async () => (await suite.length()) === 0);
  });

  it('replaces a delayed message by an equal copy for each other group', async () => {
    const groups = ['a', 'b', 'c'];
    const queue = suite.open({ groups });
    await queue.publish('k.1', { n: 1 }, { delay: 800, id: 'x', headers: { h: 'v' } });
    await queue.publish('k.2', { n: 2 }, { delay: 800 });
    await queue.publish('k.3', { n: 3 }, { delay: HOUR, group: 'a' });
    const before = await queue.peek({ group: 'b' });
    expect(await queue.purge({ group: 'a' })).toBe(3);
    const holders = groups.map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holders.map(({ numbers }) => numbers.toSorted())).toEqual([[], [1, 2], [1, 2]]);
    for (const { deliveries } of holders.slice(1)) {
      const said = deliveries.map(({ id, key, headers, publishedAt }) => ({ id, key, headers, publishedAt }));
      const shown = before.map(({ id, key, headers, publishedAt }) => ({ id, key, headers, publishedAt }));
      expect(said.toSorted((one, other) => one.key.localeCompare(other.key))).toEqual(shown);
    }
  });

  it('keeps a message in flight to one group, and removes it from the others', async () => {
    const queue = suite.open({ groups: GROUPS });
    await publish(queue, 1, 2, 3);
    const holder = await taking(queue, 2, 'a');
    expect(await queue.purge()).toBe(3);
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 0, unfinished: 2 });
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    await eventually(async () => (await suite.length()) === 0);
  });
});
