import { Tally } from '../../support/tally.js';
import type { Stage } from '../stage.js';

const MESSAGES = 10_000;
const PREFETCH = 32;
/**
 * The maximum number of redeliveries per consumer: its messages in flight, and as many acks that
 * have not reached the broker.
 */
const IN_FLIGHT = 2 * PREFETCH;
// The numbers of handled messages at which a consumer is killed.
const KILLS = [2_000, 5_000, 8_000];

/** Cases of consumers that are killed during their work. */
export function killedConsumers(stage: Stage): void {
  it('redelivers the messages of killed consumers to the others', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: 3_000, prefetch: PREFETCH });
    const alive = await stage.consumers(KILLS.length + 1, { ...settings, work: 10 }, tally);

    const published = stage.publish(queue, { tally, count: MESSAGES, ahead: 300 });
    for (const at of KILLS) {
      await stage.until(() => tally.done >= at, tally);
      const inTheMiddle = () => alive.findIndex(({ got, settled }) => got.length > settled.size);
      await stage.until(() => inTheMiddle() >= 0, tally);
      await Promise.all(alive.splice(inTheMiddle(), 1).map((victim) => victim.kill()));
    }
    await published;
    await stage.settled(queue, tally);

    expect(tally.confirmed).toBe(MESSAGES);
    stage.close(
      tally,
      `SIGKILL of ${KILLS.length} consumers in the middle of ${MESSAGES} messages`,
      IN_FLIGHT * KILLS.length,
    );
  }, 100_000);
}
