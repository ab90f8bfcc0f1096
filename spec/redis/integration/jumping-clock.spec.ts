import { setTimeout as sleep } from 'node:timers/promises';
import { Stage } from '../../integration/stage.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import { monotonic, shiftClock } from '../../support/shifted-clock.js';
import { Tally } from '../../support/tally.js';
import { broker as redis } from './broker.js';

const HOUR = 3_600_000;
const LEASE = 1_500;
const PREFETCH = 8;
/** How much earlier than its delay a timer may fire, because of rounding. */
const ROUNDING = 5;

describeWithRedis('A Redis queue when client clocks jump', () => {
  const stage = new Stage(redis);

  afterEach(() => shiftClock(0));

  it('keeps leases', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const holder = await stage.consumer({ ...settings, work: 3 * LEASE }, tally);
    await stage.publish(queue, { tally, count: PREFETCH });
    await stage.until(() => holder.got.length === PREFETCH, tally);
    const others = await Promise.all(
      [5, -5].map((hours) => stage.consumer({ ...settings, work: 0, clock: hours * HOUR }, tally)),
    );
    holder.shiftClock(7 * HOUR);
    await sleep(LEASE);
    holder.shiftClock(-7 * HOUR);
    await stage.until(() => holder.settled.size === PREFETCH, tally);
    expect([...holder.settled.values()]).not.toContain(false);
    expect(others.flatMap(({ got }) => got)).toEqual([]);
    await stage.settled(queue, tally);
    stage.close(tally, 'clocks that jump while messages are in flight', 0);
  }, 100_000);

  it.each([
    ['ahead', 5 * HOUR],
    ['behind', -5 * HOUR],
  ])(
    'keeps delays when clocks are hours %s',
    async (where, by) => {
      const tally = new Tally();
      const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
      const consumer = await stage.consumer({ ...settings, work: 0, clock: -by }, tally);
      shiftClock(by);
      const start = monotonic();
      await tally.published(0, queue.publish('load', { id: 0, nackFor: 800 }, { delay: 1_000 }));
      // By the clock, the delay has already ended or lasts for hours.
      shiftClock(-by);
      consumer.shiftClock(by);
      await stage.until(() => consumer.settled.size === 1, tally);
      const [first, second] = consumer.got;
      expect(Number(first?.at) - start).toBeGreaterThan(1_000 - ROUNDING);
      expect(Number(second?.at) - Number(first?.at)).toBeGreaterThan(800 - ROUNDING);
      expect([first?.attempt, second?.attempt]).toEqual([1, 2]);
      await stage.publish(queue, { tally, from: 1, count: 200 });
      await stage.settled(queue, tally);
      // The nack causes one redelivery, not the clock.
      stage.close(tally, `clocks that jump ${where} while messages are delayed`, 1);
    },
    100_000,
  );
});
