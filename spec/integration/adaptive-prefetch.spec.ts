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

/** How long the broker has to hear that a consumer holds less, in milliseconds: the next one is tried where one was too short. Less than the longest wait of a consumer. */
const PAUSES = [500, 2000, 8000];

/** Longer than a consumer keeps a prefetch, in milliseconds. */
const LONGER_THAN_A_PREFETCH_STAYS = 1500;

interface Expected {
  readonly concurrency: number;
  /** The most that it may hold after a pause. */
  readonly most: number;
}

/** A consumer with the default prefetch, 'auto'. */
function adaptivePrefetch<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  it.each<Expected>([
    { concurrency: 1, most: 2 },
    { concurrency: 8, most: 9 },
  ])('holds little again after a pause: %p', async ({ concurrency, most }) => {
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

    /** Handles a burst quickly and pauses. Resolves to how many messages of the next burst the consumer holds, whose handlers do not end. */
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
      // What was asked for beyond that comes now.
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

describeWithEveryEngine('A consumer of %s whose prefetch adapts', adaptivePrefetch);
