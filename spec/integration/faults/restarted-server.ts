import { setTimeout as sleep } from 'node:timers/promises';
import { Tally } from '../../support/tally.js';
import type { Stage } from '../stage.js';

const PREFETCH = 32;
const CONSUMERS = 2;
/** How many messages there are for each fault, and how many of them are done when it comes. */
const LOAD = 1_500;
const BEFORE = 500;

/** What is done to the server, one after the other. */
const FAULTS: readonly ((stage: Stage) => Promise<void>)[] = [
  ({ server }) => server.restart(),
  async (stage) => {
    await stage.killServer();
    await stage.server.start();
  },
  async (stage) => {
    await stage.killServer();
    // Long enough for several attempts to connect, each after a longer pause.
    await sleep(1_500);
    await stage.server.start();
  },
];

/**
 * A server that comes and goes under load, or stands still.
 * @param startsSlowly whether every start takes as long as the pause that is made before the last of them
 */
export function restartedServer(stage: Stage, { startsSlowly = false } = {}): void {
  const faults = startsSlowly ? FAULTS.slice(0, -1) : FAULTS;

  const prepare = async (lease: number) => {
    const tally = new Tally();
    // All of the interruptions are shorter than `publishTimeout`.
    const { queue, settings } = stage.open({ lease, publishTimeout: 60_000, prefetch: PREFETCH });
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    /** Does something in the middle of so many messages. */
    const amid = async (from: number, fault: () => Promise<void>) => {
      const published = stage.publish(queue, { tally, from, count: LOAD, ahead: 300 });
      await stage.until(() => tally.done >= from + BEFORE, tally);
      expect(tally.confirmed).toBeLessThan(from + LOAD);
      await fault();
      await published;
      expect(tally.confirmed).toBe(from + LOAD);
    };
    return { queue, tally, amid };
  };

  it('goes on where it was when the server is stopped, or killed, and started again', async () => {
    const { queue, tally, amid } = await prepare(5_000);
    let forgotten = 0;
    for (const [index, fault] of faults.entries()) {
      const from = index * LOAD;
      await amid(from, async () => {
        if (stage.broker.settlesLate) forgotten += tally.done - from;
        await fault(stage);
      });
    }
    await stage.settled(queue, tally);
    stage.close(
      tally,
      'a server stopped, killed and restarted under load',
      forgotten + PREFETCH * CONSUMERS * faults.length,
      faults.length,
    );
  }, 100_000);

  it('goes on when the server has stood still for longer than a lease', async () => {
    const { queue, tally, amid } = await prepare(1_500);
    await amid(0, async () => {
      stage.freezeServer();
      await sleep(4_000);
      stage.server.thaw();
    });
    await stage.settled(queue, tally);
    // What the consumers held, and what they had acknowledged just before: the server may look at its leases before it reads that.
    stage.close(tally, 'a server that stood still for longer than a lease', 2 * PREFETCH * CONSUMERS, 1);
  }, 100_000);
}
