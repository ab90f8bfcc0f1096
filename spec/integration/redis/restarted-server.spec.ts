import { setTimeout as sleep } from 'node:timers/promises';
import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import type { RedisServer } from '../../support/servers/redis-server.js';
import { Tally } from '../../support/tally.js';
import { publishLoad } from '../load.js';
import { Stage } from '../stage.js';

const MESSAGES = 6_000;
const PREFETCH = 32;
const CONSUMERS = 2;

/** What is done to the server, when so many messages are done. */
const faults: readonly [at: number, fault: (server: RedisServer) => Promise<void>][] = [
  [1_000, (server) => server.restart()],
  [
    2_500,
    async (server) => {
      await server.kill();
      await server.start();
    },
  ],
  [
    4_000,
    async (server) => {
      await server.kill();
      // Long enough for several attempts to connect, each after a longer pause.
      await sleep(1_500);
      await server.start();
    },
  ],
];

describeWithRedis('A Redis queue under load, whose server comes and goes', () => {
  const stage = new Stage();

  afterEach(() => stage.clear());

  const prepare = async ({ name, lease }: { name: string; lease: number }) => {
    const server = await stage.redis({ appendOnly: true });
    // All of the interruptions are shorter than `publishTimeout`.
    const options = { url: server.url, name, lease, publishTimeout: 60_000 };
    const queue = new RedisBackend({ ...options, logger: silentLogger });
    stage.ending(() => queue.close());
    const settings = { backend: 'redis', options, consume: { prefetch: PREFETCH }, work: 10 } as const;
    return { server, queue, settings, tally: new Tally() };
  };

  it('goes on where it was', async () => {
    const { server, queue, settings, tally } = await prepare({ name: 'restarts', lease: 5_000 });
    await stage.consumers(CONSUMERS, settings, tally);
    const published = publishLoad(queue, { tally, count: MESSAGES, ahead: 500 });
    for (const [at, fault] of faults) {
      await stage.until(() => tally.done >= at, tally);
      expect(tally.confirmed).toBeLessThan(MESSAGES);
      await fault(server);
    }
    await published;
    await stage.settled(queue, tally);

    expect(tally.confirmed).toBe(MESSAGES);
    tally.close('A server stopped, killed and restarted under load', PREFETCH * CONSUMERS * faults.length);
  }, 100_000);

  it('goes on when the server has stood still for longer than a lease', async () => {
    const { server, queue, settings, tally } = await prepare({ name: 'still', lease: 1_500 });
    await stage.consumers(CONSUMERS, settings, tally);
    const published = publishLoad(queue, { tally, count: 3_000, ahead: 500 });
    await stage.until(() => tally.done >= 1_000, tally);
    server.freeze();
    await sleep(4_000);
    server.thaw();
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(3_000);
    tally.close('A server that stood still for longer than a lease', PREFETCH * CONSUMERS);
  }, 100_000);
});
