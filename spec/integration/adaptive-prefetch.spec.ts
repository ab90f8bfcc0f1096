import { setTimeout as sleep } from 'node:timers/promises';
import { AsyncLoopConsumer } from 'sluice';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { deferred } from '../support/handling.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

const BURST = 300;

/**
 * Pauses for the broker to apply a smaller prefetch, in milliseconds. If one is too short, the test
 * tries the next. All are shorter than the longest wait of a consumer.
 */
const PAUSES = [500, 2000, 8000];

/** In milliseconds. Longer than a consumer keeps a prefetch. */
const LONGER_THAN_A_PREFETCH_STAYS = 1500;

interface Expected {
  readonly concurrency: number;
  /** The maximum in flight after a pause. */
  readonly most: number;
}

/** A consumer with the default prefetch, 'auto'. */
function adaptivePrefetch<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  it.each<Expected>([
    { concurrency: 1, most: 2 },
    { concurrency: 8, most: 9 },
  ])('prefetches few messages again after a pause: %p', async ({ concurrency, most }) => {
    const { queue } = stage.open();
    const clock = new VirtualClock();
    const consumer = new AsyncLoopConsumer(queue, { concurrency, scheduler: clock.scheduler, logger: silentLogger });
    let gate = deferred();
    stage.ending(() => gate.resolve());
    void consumer.run(() => gate.promise);
    const publish = () => Promise.all(upTo(BURST).map((n) => queue.publish('key', { n })));
    const held = async () => {
      const { unfinished, ready } = await queue.stats();
      return unfinished - ready;
    };

    /**
     * Handles a burst quickly and pauses. Then handlers no longer end: resolves to the number of
     * messages of the next burst that are in flight.
     */
    const heldAfter = async (pause: number) => {
      gate.resolve();
      await publish();
      await eventually(async () => (await queue.stats()).unfinished === 0);
      await sleep(LONGER_THAN_A_PREFETCH_STAYS);
      gate = deferred();
      clock.advance(1000);
      await sleep(pause);
      await publish();
      await eventually(async () => (await held()) > concurrency);
      // Messages that were requested beyond that arrive now.
      await sleep(1000);
      return held();
    };

    const counts: number[] = [];
    for (const pause of PAUSES) {
      counts.push(await heldAfter(pause));
      if (counts.at(-1) === most) break;
    }
    expect(counts.at(-1)).toBe(most);
  });
}

describeWithEveryEngine('A consumer with an adaptive prefetch on %s', adaptivePrefetch);
