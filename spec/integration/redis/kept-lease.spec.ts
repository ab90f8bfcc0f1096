import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import type { RedisServer } from '../../support/servers/redis-server.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const LEASE = 1_500;
const PREFETCH = 8;

describeWithRedis('The lease of a message of a Redis queue', () => {
  const stage = new Stage();
  let server: RedisServer;

  beforeEach(async () => {
    server = await stage.redis();
  });

  afterEach(() => stage.clear());

  const open = (name: string) => {
    const options = { url: server.url, name, lease: LEASE };
    const queue = new RedisBackend({ ...options, logger: silentLogger });
    stage.ending(() => queue.close());
    return { queue, settings: { backend: 'redis', options, consume: { prefetch: PREFETCH } } as const };
  };

  it('is kept while a handler takes several times as long', async () => {
    const { queue, settings } = open('long');
    const tally = new Tally();
    const slow = await stage.consumer({ ...settings, work: 3.5 * LEASE }, tally);
    await publishLoad(queue, { tally, count: PREFETCH });
    await stage.until(() => slow.got.length === PREFETCH);
    const idle = await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.until(() => slow.settled.size === PREFETCH);
    expect([...slow.settled.values()]).not.toContain(false);
    expect(idle.got).toEqual([]);
    await stage.settled(queue, tally);
    tally.close('A handler longer than its lease', 0);
  }, 100_000);

  it('runs out while its consumer stands still, and then its acknowledgement does not count', async () => {
    const { queue, settings } = open('frozen');
    const tally = new Tally();
    const frozen = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await publishLoad(queue, { tally, count: PREFETCH });
    await stage.until(() => frozen.got.length === PREFETCH);
    frozen.freeze();
    const other = await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.until(() => other.settled.size === PREFETCH);
    expect(other.got.map(({ attempt }) => attempt)).toEqual(Array(PREFETCH).fill(2));
    expect(await other.leave()).toBe(0);

    frozen.thaw();
    frozen.finish();
    await stage.until(() => frozen.settled.size === PREFETCH);
    expect([...frozen.settled.values()]).not.toContain(true);
    // It is a consumer like any other again.
    await publishLoad(queue, { tally, from: PREFETCH, count: 200 });
    await stage.settled(queue, tally);
    await stage.until(() => frozen.settled.size === PREFETCH + 200);
    tally.close('A consumer that stood still for longer than its lease', PREFETCH);
  }, 100_000);
});
