import { NatsBackend } from 'sluice/nats';
import { queueNames } from '../../../src/nats/names.js';
import { Stage } from '../../integration/stage.js';
import { describeWithNats } from '../../support/servers/describe-with.js';
import { NatsCluster } from '../../support/servers/nats-cluster.js';
import { Tally } from '../../support/tally.js';
import { broker as nats } from './broker.js';

const MESSAGES = 2_000;
const PREFETCH = 32;
const CONSUMERS = 2;

describeWithNats('A queue on a cluster of NATS', () => {
  const stage = new Stage({
    ...nats,
    title: 'NATS, three servers',
    open: (options) => new NatsBackend({ ...options, replicas: 3 }),
  });

  it('loses no message when the leader of its stream is killed under load', async () => {
    const cluster = new NatsCluster();
    stage.ending(() => cluster.stop());
    await cluster.start();
    const tally = new Tally();
    const { queue, settings } = stage.open({
      url: cluster.url,
      lease: 3_000,
      publishTimeout: 60_000,
      prefetch: PREFETCH,
    });
    // The publisher creates the stream.
    await stage.publish(queue, { tally, count: 1 });
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    const published = stage.publish(queue, { tally, from: 1, count: MESSAGES - 1, ahead: 500 });
    await stage.until(() => tally.done >= 500, tally);
    expect(tally.confirmed).toBeLessThan(MESSAGES);
    const leader = await cluster.leaderOf(queueNames(stage.name).stream);
    await leader.kill();
    const { confirmed } = tally;
    // The others continue without the leader.
    await stage.until(() => tally.confirmed > confirmed + 500, tally);
    await leader.start();
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(MESSAGES);
    // Once when the leader stops, and once when it returns as the leader.
    stage.close(tally, 'the leader of the stream killed under load', 2 * PREFETCH * CONSUMERS);
  }, 100_000);
});
