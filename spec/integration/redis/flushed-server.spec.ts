import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import type { RedisServer } from '../../support/servers/redis-server.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const PREFETCH = 32;
const CONSUMERS = 2;

describeWithRedis('A Redis queue whose keys somebody removes', () => {
  const stage = new Stage();
  let server: RedisServer;

  beforeEach(async () => {
    server = await stage.redis();
  });

  afterEach(() => stage.clear());

  const open = (name: string) => {
    const options = { url: server.url, name, lease: 5_000 };
    const queue = new RedisBackend({ ...options, logger: silentLogger });
    stage.ending(() => queue.close());
    return { queue, options };
  };

  it('takes and delivers messages again after FLUSHALL', async () => {
    const { queue, options } = open('flushed');
    const tally = new Tally();
    const settings = { backend: 'redis', options, consume: { prefetch: PREFETCH } } as const;
    await stage.consumers(CONSUMERS, { ...settings, work: 0 }, tally);
    await publishLoad(queue, { tally, count: 1_000 });
    await stage.settled(queue, tally);

    await server.run('FLUSHALL');
    // What was in the queue is gone, by the wish of whoever did that. What is confirmed from now on is not.
    await publishLoad(queue, { tally, from: 1_000, count: 1_000 });
    await stage.until(() => tally.done === 2_000, tally);
    await stage.settled(queue, tally);
    tally.close('FLUSHALL', 0);
  }, 100_000);

  it('loses nothing that is published after FLUSHALL under load', async () => {
    const { queue, options } = open('flushed-under-load');
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { backend: 'redis', options, consume: { prefetch: PREFETCH }, work: 10 }, tally);
    // What is erased is never done, and is not to stop the publishers.
    const published = publishLoad(queue, { tally, count: 4_000, ahead: 1_000 });
    await stage.until(() => tally.done >= 1_000, tally);
    await server.run('FLUSHALL');
    tally.emptied();
    expect(tally.confirmed).toBeLessThan(4_000);
    await published;
    await stage.settled(queue, tally);
    tally.close('FLUSHALL under load', 0);
  }, 100_000);

  it('says that an acknowledgement did not count when FLUSHALL took the message', async () => {
    const { queue, options } = open('flushed-in-flight');
    const tally = new Tally();
    const holder = await stage.consumer({ backend: 'redis', options, consume: { prefetch: 5 }, work: 'until-told' }, tally);
    await publishLoad(queue, { tally, count: 5 });
    await stage.until(() => holder.got.length === 5);

    await server.run('FLUSHALL');
    holder.finish();
    await stage.until(() => holder.settled.size === 5);
    expect([...holder.settled.values()]).toEqual([false, false, false, false, false]);
    await publishLoad(queue, { tally, from: 5, count: 20 });
    await stage.until(() => holder.settled.size === 25);
    expect([...holder.settled.values()].slice(5)).not.toContain(false);
    tally.close('FLUSHALL with messages in flight', 0);
  }, 100_000);

  it('keeps for every declared group what is published after FLUSHALL', async () => {
    const { options } = open('redeclared');
    const queue = new RedisBackend({ ...options, groups: ['default', 'audit'], logger: silentLogger });
    stage.ending(() => queue.close());
    const tally = new Tally();
    // A consumer that knows its own group only.
    await stage.consumer({ backend: 'redis', options, work: 0 }, tally);
    await publishLoad(queue, { tally, count: 10 });
    await stage.until(() => tally.done === 10, tally);

    await server.run('FLUSHALL');
    await publishLoad(queue, { tally, from: 10, count: 10 });
    await stage.until(() => tally.done === 20, tally);
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 10, unfinished: 10 });
  }, 100_000);

  it('leaves a message to the consumer that has it from the group that was made anew', async () => {
    const { queue, options } = open('made-anew');
    const tally = new Tally();
    const settings = { backend: 'redis', options, consume: { prefetch: 8 }, work: 'until-told' } as const;
    const before = await stage.consumer(settings, tally);
    await publishLoad(queue, { tally, count: 8 });
    await stage.until(() => before.got.length === 8, tally);
    const after = await stage.consumer(settings, tally);
    await server.run('XGROUP', 'DESTROY', 'made-anew', 'default');
    // The one has no room for more, so that they all go to the other.
    await stage.until(() => after.got.length === 8, tally);

    before.finish();
    await stage.until(() => before.settled.size === 8, tally);
    expect([...before.settled.values()]).not.toContain(true);
    after.finish();
    await stage.until(() => after.settled.size === 8, tally);
    expect([...after.settled.values()]).not.toContain(false);
    await stage.settled(queue, tally);
    tally.close('A group deleted with messages in flight', 8);
  }, 100_000);

  it('keeps every message when its group is deleted under load', async () => {
    const { queue, options } = open('ungrouped');
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { backend: 'redis', options, consume: { prefetch: PREFETCH }, work: 10 }, tally);
    const published = publishLoad(queue, { tally, count: 4_000, ahead: 500 });
    const times = [800, 2_400];
    for (const at of times) {
      await stage.until(() => tally.done >= at);
      expect(tally.confirmed).toBeLessThan(4_000);
      expect(await server.run('XGROUP', 'DESTROY', 'ungrouped', 'default')).toBe(1);
    }
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(4_000);
    tally.close('A group deleted twice under load', PREFETCH * CONSUMERS * times.length);
  }, 100_000);
});
