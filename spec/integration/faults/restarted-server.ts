import { setTimeout as sleep } from 'node:timers/promises';
import { Tally } from '../../support/tally.js';
import type { Stage } from '../stage.js';

const PREFETCH = 32;
const CONSUMERS = 2;
/** Number of messages for each fault, and number of handled messages at which it happens. */
const LOAD = 1_500;
const BEFORE = 500;

/** The faults, one after the other. */
const FAULTS: readonly ((stage: Stage) => Promise<void>)[] = [
  ({ server }) => server.restart(),
  async (stage) => {
    await stage.killServer();
    await stage.server.start();
  },
  async (stage) => {
    await stage.killServer();
    // Long enough for several attempts to connect, with a growing backoff.
    await sleep(1_500);
    await stage.server.start();
  },
];

/**
 * Cases of a server that is stopped, killed or frozen under load.
 * @param startsSlowly whether every start takes as long as the pause before the last of them
 */
export function restartedServer(stage: Stage, { startsSlowly = false } = {}): void {
  const faults = startsSlowly ? FAULTS.slice(0, -1) : FAULTS;

  const prepare = async (lease: number) => {
    const tally = new Tally();
    // All interruptions are shorter than `publishTimeout`.
    const { queue, settings } = stage.open({ lease, publishTimeout: 60_000, prefetch: PREFETCH });
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    /** Causes a fault while `LOAD` messages are published and handled. */
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

  it('resumes after the server was stopped, killed and restarted', async () => {
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

  it('resumes after the server was frozen for longer than a lease', async () => {
    const { queue, tally, amid } = await prepare(1_500);
    await amid(0, async () => {
      stage.freezeServer();
      await sleep(4_000);
      stage.server.thaw();
    });
    await stage.settled(queue, tally);
    // Messages in flight, and messages acked just before: the server may check leases before it
    // reads the acks.
    stage.close(tally, 'a server frozen for longer than a lease', 2 * PREFETCH * CONSUMERS, 1);
  }, 100_000);
}
