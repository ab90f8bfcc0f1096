import { Stage } from '../../integration/stage.js';
import { describeWithRabbitMq } from '../../support/servers/describe-with.js';
import { Tally } from '../../support/tally.js';
import { broker as rabbitMq } from './broker.js';

/**
 * Number of times that the broker is killed. Each start takes about ten seconds. The guide
 * "Choosing an engine" has figures of a manual run with 20.
 */
const KILLS = Number(process.env.SLUICE_BROKER_KILLS ?? 2);

const PREFETCH = 8;
const LOAD = 800;
const BEFORE = 200;

describeWithRabbitMq('A consumer on a broker that is killed under load', () => {
  const stage = new Stage(rabbitMq);

  it(
    `resumes after each of ${KILLS} restarts, loses no message and exits on SIGTERM`,
    async () => {
      const tally = new Tally();
      const { queue, settings } = stage.open({ lease: 1_500, publishTimeout: 200_000, prefetch: PREFETCH });
      const consumer = await stage.consumer({ ...settings, work: 10 }, tally);
      await stage.publish(queue, { tally, count: 1 });
      // A queue that was just declared would not survive.
      await stage.server.saveQueues();
      for (let from = 1; from < KILLS * LOAD; from += LOAD) {
        const published = stage.publish(queue, { tally, from, count: LOAD, ahead: 300 });
        await stage.until(() => tally.done >= from + BEFORE, tally);
        await stage.server.kill();
        await stage.server.start();
        await published;
        await stage.settled(queue, tally);
      }
      expect(tally.confirmed).toBe(1 + KILLS * LOAD);
      expect(await consumer.terminate()).toBe(0);
      stage.close(tally, `a broker killed ${KILLS} times under load`, PREFETCH * 2 * KILLS, KILLS);
    },
    KILLS * 120_000,
  );
});
