import { setTimeout as sleep } from 'node:timers/promises';
import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import type { RedisServer } from '../../support/servers/redis-server.js';
import { monotonic, shiftClock } from '../../support/shifted-clock.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const HOUR = 3_600_000;
const LEASE = 1_500;
const PREFETCH = 8;
/** How much earlier than a delay a timer may be, by rounding. */
const ROUNDING = 5;

describeWithRedis('A Redis queue whose users have clocks that jump', () => {
  const stage = new Stage();
  let server: RedisServer;

  beforeEach(async () => {
    server = await stage.redis();
  });

  afterEach(async () => {
    shiftClock(0);
    await stage.clear();
  });

  const open = (name: string) => {
    const options = { url: server.url, name, lease: LEASE };
    const queue = new RedisBackend({ ...options, logger: silentLogger });
    stage.ending(() => queue.close());
    return { queue, settings: { backend: 'redis', options, consume: { prefetch: PREFETCH } } as const };
  };

  it('keeps leases by the clock of the server', async () => {
    const { queue, settings } = open('leases');
    const tally = new Tally();
    const holder = await stage.consumer({ ...settings, work: 4 * LEASE }, tally);
    await publishLoad(queue, { tally, count: PREFETCH });
    await stage.until(() => holder.got.length === PREFETCH);
    const ahead = await stage.consumer({ ...settings, work: 0, clock: 5 * HOUR }, tally);
    const behind = await stage.consumer({ ...settings, work: 0, clock: -5 * HOUR }, tally);
    holder.shiftClock(7 * HOUR);
    await sleep(LEASE);
    holder.shiftClock(-7 * HOUR);
    await stage.until(() => holder.settled.size === PREFETCH);
    expect([...holder.settled.values()]).not.toContain(false);
    expect([...ahead.got, ...behind.got]).toEqual([]);
    await stage.settled(queue, tally);
    tally.close('Clocks that jump while messages are held', 0);
  }, 100_000);

  it.each([
    ['ahead', 5 * HOUR],
    ['behind', -5 * HOUR],
  ])(
    'keeps delays when the clocks go hours %s',
    async (_where, by) => {
      const { queue, settings } = open('delays');
      const tally = new Tally();
      const consumer = await stage.consumer({ ...settings, work: 0, clock: -by }, tally);
      shiftClock(by);
      const start = monotonic();
      await tally.published(0, queue.publish('load', { id: 0, nackFor: 800 }, { delay: 1_000 }));
      // By the clock, the delay is over at once, or lasts for hours.
      shiftClock(-by);
      consumer.shiftClock(by);
      await stage.until(() => consumer.settled.size === 1);
      const [first, second] = consumer.got;
      expect(Number(first?.at) - start).toBeGreaterThan(1_000 - ROUNDING);
      expect(Number(second?.at) - Number(first?.at)).toBeGreaterThan(800 - ROUNDING);
      expect([first?.attempt, second?.attempt]).toEqual([1, 2]);
      await publishLoad(queue, { tally, from: 1, count: 200 });
      await stage.settled(queue, tally);
      // That it was nacked is not the fault of a clock.
      tally.close('Clocks that jump while messages are delayed', 1);
    },
    100_000,
  );
});
