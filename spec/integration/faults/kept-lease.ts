import { Tally } from '../../support/tally.js';
import type { Stage } from '../stage.js';

const LEASE = 1_500;
const PREFETCH = 8;

/** Cases of handlers that exceed their lease, and of frozen consumers. */
export function keptLease(stage: Stage): void {
  it('renews a lease while a handler takes several times as long', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const slow = await stage.consumer({ ...settings, work: 2.5 * LEASE }, tally);
    await stage.publish(queue, { tally, count: PREFETCH });
    await stage.until(() => slow.got.length === PREFETCH, tally);
    const idle = await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.until(() => slow.settled.size === PREFETCH, tally);
    expect([...slow.settled.values()]).not.toContain(false);
    expect(idle.got).toEqual([]);
    await stage.settled(queue, tally);
    stage.close(tally, 'a handler longer than its lease', 0);
  }, 100_000);

  it('redelivers the messages of a frozen consumer, whose late acks resolve with false', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const frozen = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.publish(queue, { tally, count: PREFETCH });
    await stage.until(() => frozen.got.length === PREFETCH, tally);
    frozen.freeze();
    const other = await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.until(() => other.settled.size === PREFETCH, tally);
    expect(other.got.map(({ attempt }) => attempt)).toEqual(Array(PREFETCH).fill(2));
    expect(await other.leave()).toBe(0);

    frozen.thaw();
    frozen.finish();
    await stage.until(() => frozen.settled.size === PREFETCH, tally);
    expect([...frozen.settled.values()]).not.toContain(true);
    // The thawed consumer receives messages again.
    await stage.publish(queue, { tally, from: PREFETCH, count: 200 });
    await stage.settled(queue, tally);
    await stage.until(() => frozen.settled.size === PREFETCH + 200, tally);
    stage.close(tally, 'a consumer frozen for longer than its lease', PREFETCH);
  }, 100_000);
}
