import { AsyncLoopConsumer, type ManagedQueue, receive } from 'sluice';
import { describeWithEveryEngine } from '../integration/every-engine.js';
import { CliSuite } from '../support/cli-suite.js';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { silentLogger } from '../support/recording-logger.js';
import { createdOn, namesOn } from '../support/server-names.js';

describeWithEveryEngine('sluice replay on %s', (broker, engine) => {
  const suite = new CliSuite(broker, engine);
  const fromQueue = () => `${suite.name}.failed`;

  /** Gives up each message of a group. Returns a function that ends this. */
  function failing(queue: ManagedQueue, deadLetter: ManagedQueue, group = 'default'): () => Promise<void> {
    const consumer = new AsyncLoopConsumer(queue, { group, deadLetter, retry: { count: 0 }, logger: silentLogger });
    const running = consumer.run((payload) => {
      throw new Error(`no funds for ${numberOf(payload)}`);
    });
    return () => consumer.shutdown().then(() => running);
  }

  /** Publishes letters as consumers do. Their queue is that of the test, unless the headers say else. */
  async function letters(
    numbers: readonly number[],
    headersOf: (n: number) => Readonly<Record<string, string>> = () => ({}),
  ): Promise<ManagedQueue> {
    const failed = suite.open({ suffix: '.failed' });
    for (const n of numbers) {
      const headers = { 'sluice-queue': suite.name, 'sluice-error': `Error: boom ${n}`, trace: `t${n}` };
      await failed.publish(n % 2 === 0 ? 'even' : 'odd', { n }, { headers: { ...headers, ...headersOf(n) } });
    }
    return failed;
  }

  const taken = async (queue: ManagedQueue, count: number) =>
    (await suite.take(queue, count)).map(([n]) => n).toSorted((one, other) => one - other);

  it('publishes each letter unchanged, only to the group in which it failed', async () => {
    const groups = ['billing', 'audit'];
    const orders = suite.open({ groups });
    const failed = suite.open({ suffix: '.failed' });
    const stop = failing(orders, failed, 'billing');
    for (const n of upTo(3)) await orders.publish('number', { n }, { headers: { trace: `t${n}` }, id: `order-${n}` });
    await eventually(async () => (await failed.stats()).ready === 3);
    await stop();
    const audit = await orders.stats({ group: 'audit' });
    const cli = suite.cli({ QUEUE_NAME: 'unrelated', QUEUE_GROUPS: 'unrelated' });
    expect(await cli.values('replay', fromQueue(), '--dry-run')).toEqual(
      upTo(3).map((n) => expect.objectContaining({ payload: { n }, to: suite.name, group: 'billing' })),
    );
    const result = await cli.run('replay', fromQueue());
    expect(result).toEqual({ code: 0, out: '{"replayed":3}\n', err: '' });
    expect(await failed.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(await orders.stats({ group: 'audit' })).toEqual(audit);
    const holder = new Holder(orders, { group: 'billing' });
    await eventually(() => holder.deliveries.length === 3);
    expect(
      holder.deliveries.map(({ key, payload, headers, attempt, id }) => [key, payload, headers, attempt, id]),
    ).toEqual(upTo(3).map((n) => ['number', { n }, { trace: `t${n}` }, 1, expect.any(String)]));
    await Promise.all(holder.deliveries.map((delivery) => delivery.ack()));
    holder.subscription.unsubscribe();
    expect(await orders.stats({ group: 'billing' })).toEqual({ ready: 0, unfinished: 0 });
  });

  it('shows with --dry-run what it would replay, and changes nothing', async () => {
    const orders = suite.open();
    await orders.stats();
    const failed = await letters(upTo(3));
    const cli = suite.cli();
    const dryRun = () => cli.values('replay', fromQueue(), '--dry-run', '--limit', '2');
    const [first, second] = [await dryRun(), await dryRun()];
    const expected = [1, 2].map((n) => ({
      id: expect.any(String),
      key: n === 2 ? 'even' : 'odd',
      payload: { n },
      headers: { 'sluice-queue': suite.name, 'sluice-error': `Error: boom ${n}`, trace: `t${n}` },
      publishedAt: expect.any(Number),
      to: suite.name,
    }));
    expect(first).toEqual(expected);
    expect(second).toHaveLength(2);
    if (!broker.countsReleases) expect(second).toEqual(first);
    expect([await failed.stats(), await orders.stats()]).toEqual([
      { ready: 3, unfinished: 3 },
      { ready: 0, unfinished: 0 },
    ]);
    const left = await receive(failed);
    expect(left.attempt).toBe(broker.countsReleases ? left.attempt : 1);
    await left.release();
  });

  it.each([
    [
      ['--key', 'even'],
      [2, 4],
    ],
    [['--error', 'boom 3'], [3]],
    [['--key', 'even', '--error', 'boom 4', '--newer-than', '1h'], [4]],
    [['--older-than', '1h'], []],
    [['--newer-than', '0ms'], []],
    [
      ['--limit', '3'],
      [1, 2, 3],
    ],
  ])('replays letters that match %j', async (filter, expected) => {
    const orders = suite.open();
    await orders.stats();
    const failed = await letters(upTo(4));
    expect(await suite.cli().values('replay', fromQueue(), ...filter)).toEqual([{ replayed: expected.length }]);
    expect(await taken(orders, expected.length)).toEqual(expected);
    const rest = upTo(4).filter((n) => !expected.includes(n));
    expect(await taken(failed, rest.length)).toEqual(rest);
    expect([await orders.stats(), await failed.stats()]).toEqual([1, 2].map(() => ({ ready: 0, unfinished: 0 })));
  });

  it('replays letters to another queue', async () => {
    const other = suite.open({ suffix: '.other' });
    await other.stats();
    const failed = await letters(upTo(2), () => ({ 'sluice-group': 'billing' }));
    const before = await namesOn(suite.server);
    expect(await suite.cli().values('replay', fromQueue(), other.name)).toEqual([{ replayed: 2 }]);
    expect(await taken(other, 2)).toEqual([1, 2]);
    expect((await failed.stats()).unfinished).toBe(0);
    // Nor does it open the queue where the letters came from.
    expect((await createdOn(suite.server, before)).filter((name) => name.includes('billing'))).toEqual([]);
  });

  it('keeps letters whose queue or group does not exist, and creates neither', async () => {
    await suite.open().stats();
    const failed = await letters([1, 2], (n) => (n === 1 ? { 'sluice-group': 'billing' } : { 'sluice-queue': 'gone' }));
    const before = await namesOn(suite.server);
    for (const key of ['odd', 'even']) {
      const { code, out, err } = await suite.cli().run('replay', fromQueue(), '--key', key);
      expect({ code, out }).toEqual({ code: 1, out: '{"replayed":0}\n' });
      expect(err).toMatch(
        /^error: letter .*("gone" does not exist|has no group "billing").* \(0 letters replayed, 1 not\)\n$/,
      );
    }
    expect(await failed.stats()).toEqual({ ready: 2, unfinished: 2 });
    const created = await createdOn(suite.server, before);
    expect(created.filter((name) => !name.includes(failed.name))).toEqual([]);
  });

  it('replays the others if letters cannot be replayed', async () => {
    const orders = suite.open();
    await orders.stats();
    const failed = await letters(upTo(6), (n) => (n % 3 === 0 ? { 'sluice-group': 'billing' } : {}));
    const { code, out, err } = await suite.cli().run('replay', fromQueue());
    expect({ code, out }).toEqual({ code: 1, out: '{"replayed":4}\n' });
    expect(err).toMatch(/^error: letter .*has no group "billing".* \(4 letters replayed, 2 not\)\n$/);
    expect(await taken(orders, 4)).toEqual([1, 2, 4, 5]);
    expect(await taken(failed, 2)).toEqual([3, 6]);
  });

  it('moves letters with the same id from two queues into one', async () => {
    const queues = ['.a', '.b'].map((suffix) => suite.open({ suffix }));
    for (const queue of queues) await queue.publish('number', { n: 1 }, { id: 'same' });
    const target = suite.open();
    await target.stats();
    for (const { name } of queues)
      expect(await suite.cli().values('replay', name, target.name)).toEqual([{ replayed: 1 }]);
    expect(await target.stats()).toEqual({ ready: 2, unfinished: 2 });
  });

  it('moves a message to and fro, and into its own queue', async () => {
    const [one, other] = [suite.open(), suite.open({ suffix: '.other' })];
    await one.publish('number', { n: 1 });
    await other.stats();
    for (const [from, to] of [
      [one, other],
      [other, one],
      [one, other],
      [other, other],
      [other, other],
    ] as const)
      expect(await suite.cli().values('replay', from.name, to.name)).toEqual([{ replayed: 1 }]);
    expect([await one.stats(), await other.stats()]).toEqual([
      { ready: 0, unfinished: 0 },
      { ready: 1, unfinished: 1 },
    ]);
  });

  it('keeps a message that is no dead letter', async () => {
    const queue = suite.open({ suffix: '.failed' });
    await queue.publish('number', { n: 1 });
    const { code, out, err } = await suite.cli().run('replay', fromQueue());
    expect({ code, out }).toEqual({ code: 1, out: '{"replayed":0}\n' });
    expect(err).toMatch(/^error: .*not a dead letter.*Name the queue TO.*\n$/);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('replays no letter twice while letters fail again', async () => {
    const orders = suite.open();
    const failed = await letters(upTo(200));
    const stop = failing(orders, failed);
    expect(await suite.cli().values('replay', fromQueue())).toEqual([{ replayed: 200 }]);
    await eventually(async () => (await failed.stats()).ready === 200 && (await orders.stats()).unfinished === 0);
    await stop();
    expect(await taken(failed, 200)).toEqual(upTo(200));
  });
});
