import { Stage } from '../../integration/stage.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import { Tally } from '../../support/tally.js';
import { broker as redis } from './broker.js';

const LEASE = 5_000;
const PREFETCH = 32;
const CONSUMERS = 2;

describeWithRedis('A Redis queue when keys are deleted', () => {
  const stage = new Stage(redis);

  it('publishes and delivers again after FLUSHALL', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { ...settings, work: 0 }, tally);
    await stage.publish(queue, { tally, count: 1_000 });
    await stage.settled(queue, tally);

    await stage.server.run('FLUSHALL');
    // FLUSHALL deletes the stored messages. Messages confirmed after it must not be lost.
    await stage.publish(queue, { tally, from: 1_000, count: 1_000 });
    await stage.until(() => tally.done === 2_000, tally);
    await stage.settled(queue, tally);
    stage.close(tally, 'FLUSHALL', 0);
  }, 100_000);

  it('loses no message published after FLUSHALL under load', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    const published = stage.publish(queue, { tally, count: 2_500, ahead: 500 });
    await stage.until(() => tally.done >= 800, tally);
    await stage.server.run('FLUSHALL');
    tally.emptied();
    expect(tally.confirmed).toBeLessThan(2_500);
    await published;
    await stage.settled(queue, tally);
    stage.close(tally, 'FLUSHALL under load', 0);
  }, 100_000);

  it('resolves an ack with false if FLUSHALL deleted the message', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: 5 });
    const tally = new Tally();
    const holder = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.publish(queue, { tally, count: 5 });
    await stage.until(() => holder.got.length === 5);

    await stage.server.run('FLUSHALL');
    holder.finish();
    await stage.until(() => holder.settled.size === 5);
    expect([...holder.settled.values()]).toEqual([false, false, false, false, false]);
    await stage.publish(queue, { tally, from: 5, count: 20 });
    await stage.until(() => holder.settled.size === 25);
    expect([...holder.settled.values()].slice(5)).not.toContain(false);
    stage.close(tally, 'FLUSHALL with messages in flight', 0);
  }, 100_000);

  it('keeps messages published after FLUSHALL for every declared group', async () => {
    const { settings } = stage.open({ lease: LEASE });
    const { queue } = stage.open({ lease: LEASE, groups: ['default', 'audit'] });
    const tally = new Tally();
    // This consumer knows only its own group.
    await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.publish(queue, { tally, count: 10 });
    await stage.until(() => tally.done === 10, tally);

    await stage.server.run('FLUSHALL');
    await stage.publish(queue, { tally, from: 10, count: 10 });
    await stage.until(() => tally.done === 20, tally);
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 10, unfinished: 10 });
  }, 100_000);

  it('settles a message only for the consumer that received it from the recreated group', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: 8 });
    const tally = new Tally();
    const before = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.publish(queue, { tally, count: 8 });
    await stage.until(() => before.got.length === 8, tally);
    const after = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.server.run('XGROUP', 'DESTROY', stage.name, 'default');
    // The first consumer has no credit left, so all messages go to the second.
    await stage.until(() => after.got.length === 8, tally);

    before.finish();
    await stage.until(() => before.settled.size === 8, tally);
    expect([...before.settled.values()]).not.toContain(true);
    after.finish();
    await stage.until(() => after.settled.size === 8, tally);
    expect([...after.settled.values()]).not.toContain(false);
    await stage.settled(queue, tally);
    stage.close(tally, 'a group deleted with messages in flight', 8);
  }, 100_000);

  it('keeps every message when its group is deleted under load', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    const published = stage.publish(queue, { tally, count: 2_500, ahead: 500 });
    const times = [600, 1_500];
    for (const at of times) {
      await stage.until(() => tally.done >= at);
      expect(tally.confirmed).toBeLessThan(2_500);
      expect(await stage.server.run('XGROUP', 'DESTROY', stage.name, 'default')).toBe(1);
    }
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(2_500);
    stage.close(tally, 'a group deleted twice under load', PREFETCH * CONSUMERS * times.length);
  }, 100_000);
});
