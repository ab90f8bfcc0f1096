import { ConsumerProcess } from '../../support/consumer-process.js';
import { eventually } from '../../support/eventually.js';
import { Tally } from '../../support/tally.js';
import type { FaultyServer } from '../broker.js';
import type { Stage } from '../stage.js';

const MESSAGES = 32;
const LIMIT = 6;
const HANDLING = { concurrency: 2, retry: { count: 1 }, deliveryLimit: LIMIT };

/**
 * Cases of a message that kills each process that handles it. It is given up after `deliveryLimit`
 * deliveries, and prefetched messages are not given up with it.
 */
export function killingMessage<Server extends FaultyServer>(stage: Stage<Server>): void {
  it('gives up a message that kills its consumers, and handles the messages prefetched beside it', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: 1000, prefetch: MESSAGES });
    for (let id = 0; id < MESSAGES; id++) await queue.publish('message', id === 0 ? { id, kills: true } : { id });
    const lives: ConsumerProcess[] = [];
    const handled = new Set<number>();
    const gaveUp: ConsumerProcess['gaveUp'][number][] = [];
    const isOver = () => handled.size + gaveUp.length >= MESSAGES;

    while (!isOver() && lives.length < 3 * LIMIT) {
      const process = await ConsumerProcess.start({ ...settings, work: 2, handling: HANDLING }, tally);
      stage.ending(() => process.kill());
      lives.push(process);
      const over = () => {
        // A killed process may have settled more than it reported.
        for (const id of process.handled) handled.add(id);
        return process.end !== undefined || handled.size + gaveUp.length + process.gaveUp.length >= MESSAGES;
      };
      await eventually(over, () => lives);
      gaveUp.push(...process.gaveUp);
    }

    expect(gaveUp).toEqual([{ id: 0, attempt: LIMIT + 1 }]);
    expect([...handled].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: MESSAGES - 1 }, (_, index) => index + 1),
    );
    expect(lives.flatMap(({ got }) => got).filter(({ id }) => id === 0).length).toBe(LIMIT);
    await eventually(async () => (await queue.stats()).unfinished === 0);
  }, 120_000);
}
