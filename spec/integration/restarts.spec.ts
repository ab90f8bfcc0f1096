import { MemoryBackend, type Outcome } from 'sluice';
import { silentLogger } from '../support/recording-logger.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { killingMessage } from './faults/killing-message.js';
import { restartConsumers } from './faults/restarted-consumers.js';
import { Stage } from './stage.js';

const attempts = (outcomes: readonly Outcome[]) => [...new Set(outcomes.map(({ delivery }) => delivery.attempt))];

function keepsItsMessages<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  it('handles every message after 40 graceful restarts of a service', async () => {
    const outcomes = await restartConsumers(stage.open().queue, async (run) => {
      const { queue } = stage.open();
      await run(queue);
      await queue.close();
    });
    if (!broker.countsReleases) expect(attempts(outcomes)).toEqual([1]);
  }, 180_000);

  it('counts no attempt for 40 graceful restarts of a consumer in one process', async () => {
    const { queue } = stage.open();
    expect(attempts(await restartConsumers(queue, (run) => run(queue)))).toEqual([1]);
  }, 180_000);

  killingMessage(stage);
}

describe('An in-memory queue', () => {
  it('counts no attempt for 40 graceful restarts of a consumer', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    expect(attempts(await restartConsumers(queue, (run) => run(queue)))).toEqual([1]);
  });
});

describeWithEveryEngine('A queue on %s', keepsItsMessages);
