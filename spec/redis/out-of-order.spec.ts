import type { RedisBackend } from 'sluice/redis';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('Messages settled together and out of order', () => {
  const suite = new RedisSuite();

  /** The batches that wait for removal, each as its number of messages. */
  const waiting = async () =>
    ((await suite.run('LRANGE', suite.key('settled'), '0', '-1')) as string[]).map((batch) => batch.split(',').length);

  const ack = async (holder: Holder, numbers: readonly number[]) => {
    expect(await Promise.all(numbers.map((n) => holder.of(n).ack()))).toEqual(numbers.map(() => true));
  };

  /** Makes a queue with the messages 1 to `count`, all of them in flight in each group. */
  const hold = async (
    count: number,
    groups: readonly string[],
    lease?: number,
  ): Promise<{ queue: RedisBackend; holders: Holder[] }> => {
    const queue = suite.open({ groups, lease });
    await Promise.all(upTo(count).map((n) => queue.publish('key', { n })));
    const holders = groups.map((group) => new Holder(queue, { group, prefetch: count }));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === count));
    return { queue, holders };
  };

  const isEmpty = async () => {
    expect(await suite.length()).toBe(0);
    expect(await suite.keys()).toEqual(['', 'bell']);
  };

  it.each([{ groups: ['one'] }, { groups: ['one', 'two', 'three'] }])(
    'are removed together with the earlier messages: groups $groups',
    async ({ groups }) => {
      const { holders } = await hold(40, groups);
      for (const [index, holder] of holders.entries()) {
        expect(await waiting()).toEqual([]);
        await ack(
          holder,
          upTo(39).map((n) => n + 1),
        );
        expect(await suite.length()).toBe(40);
        if (index < groups.length - 1) continue;
        expect(await waiting()).toEqual([39]);
      }
      for (const holder of holders) await ack(holder, [1]);
      await isEmpty();
    },
  );

  it('are removed immediately if they are few', async () => {
    const { holders } = await hold(20, ['default']);
    await ack(
      holders[0] as Holder,
      upTo(15).map((n) => n + 2),
    );
    expect([await suite.length(), await waiting()]).toEqual([5, []]);
  });

  it('need no more commands for being many, even with many groups', async () => {
    const groups = ['one', 'two', 'three', 'four', 'five'];
    const { holders } = await hold(100, groups);
    const before = await suite.calls('xpending');
    for (const holder of holders) {
      await ack(
        holder,
        upTo(99).map((n) => n + 1),
      );
    }
    // Each group settles in one or two exchanges, each of which asks for pending entries per group.
    expect((await suite.calls('xpending')) - before).toBeLessThan(5 * 2 * 2 * 5);
    expect([await suite.length(), (await waiting()).reduce((sum, count) => sum + count, 0)]).toEqual([100, 99]);
  });

  it('are removed once all groups have settled them', async () => {
    const { holders } = await hold(60, ['one', 'two', 'three']);
    const [one, two, three] = holders as [Holder, Holder, Holder];
    await ack(two, [3, 59]);
    await ack(three, [30, 59]);
    await ack(one, [3, 30, 59]);
    const left = (await suite.run('XRANGE', suite.name, '-', '+')) as [string, string[]][];
    expect(left.map(([id]) => id)).toEqual(one.deliveries.map(({ id }) => id).filter((id) => id !== one.of(59).id));
  });

  it('are not counted', async () => {
    const { queue, holders } = await hold(40, ['default']);
    await ack(
      holders[0] as Holder,
      upTo(38).map((n) => n + 1),
    );
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 2 });
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 0, unfinished: 2 });
    expect(await suite.length()).toBe(2);
  });

  it('are not delivered to a group that is added later', async () => {
    const { queue, holders } = await hold(40, ['default']);
    await ack(
      holders[0] as Holder,
      upTo(38).map((n) => n + 1),
    );
    await queue.stats();
    const late = new Holder(suite.open({ groups: ['default', 'late'] }), { group: 'late' });
    await eventually(() => late.deliveries.length >= 2);
    expect(late.numbers).toEqual([1, 40]);
    await ack(late, [1, 40]);
    await ack(holders[0] as Holder, [1, 40]);
    await isEmpty();
  });

  it('do not accumulate behind a message that stays in flight', async () => {
    const { queue, holders } = await hold(401, ['default']);
    for (let batch = 0; batch < 20; batch++)
      await ack(
        holders[0] as Holder,
        upTo(20).map((n) => 1 + batch * 20 + n),
      );
    expect(await waiting()).toEqual(Array.from({ length: 8 }, () => 20));
    expect(await suite.length()).toBe(161);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    await ack(holders[0] as Holder, [1]);
    await isEmpty();
  });

  it('are removed after a while even if no other message is settled', async () => {
    const { holders } = await hold(40, ['default'], 300);
    await ack(
      holders[0] as Holder,
      upTo(39).map((n) => n + 1),
    );
    await eventually(async () => (await suite.length()) === 1);
    expect(await waiting()).toEqual([]);
    await ack(holders[0] as Holder, [1]);
    await isEmpty();
  });

  it('stay settled when their group is deleted', async () => {
    const { queue, holders } = await hold(40, ['default']);
    await ack(
      holders[0] as Holder,
      upTo(39).map((n) => n + 1),
    );
    await suite.run('XGROUP', 'DESTROY', suite.name, 'default');
    const again = () => (holders[0] as Holder).numbers.slice(40);
    await eventually(() => again().length > 0);
    expect(again()).toEqual([1]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
  });
});
