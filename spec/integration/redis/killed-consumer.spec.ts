import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const MESSAGES = 10_000;
const PREFETCH = 32;
/** Consumers are killed when so many messages are done. */
const KILLS = [2_000, 5_000, 8_000];

describeWithRedis('A killed consumer of a Redis queue', () => {
  const stage = new Stage();

  afterEach(() => stage.clear());

  it('leaves its messages to the others', async () => {
    const server = await stage.redis();
    const options = { url: server.url, name: 'kills', lease: 2_000 };
    const queue = new RedisBackend({ ...options, logger: silentLogger });
    stage.ending(() => queue.close());
    const tally = new Tally();
    const settings = { backend: 'redis', options, consume: { prefetch: PREFETCH }, work: 20 } as const;
    const alive = await stage.consumers(KILLS.length + 2, settings, tally);

    const published = publishLoad(queue, { tally, count: MESSAGES, ahead: 300 });
    for (const at of KILLS) {
      await stage.until(() => tally.done >= at, tally);
      const inTheMiddle = () => alive.findIndex(({ got, settled }) => got.length > settled.size);
      await stage.until(() => inTheMiddle() >= 0, tally);
      await Promise.all(alive.splice(inTheMiddle(), 1).map((victim) => victim.kill()));
    }
    await published;
    await stage.settled(queue, tally);

    expect(tally.confirmed).toBe(MESSAGES);
    tally.close(`SIGKILL of ${KILLS.length} consumers in the middle of ${MESSAGES} messages`, PREFETCH * KILLS.length);
  }, 100_000);
});
