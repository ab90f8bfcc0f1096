import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { queueNames } from '../../../src/nats/names.js';
import { AT_ONCE } from '../../integration/load.js';
import { Stage } from '../../integration/stage.js';
import { deleteNatsConsumer } from '../../support/delete-nats-consumer.js';
import { describeWithNats } from '../../support/servers/describe-with.js';
import { Tally } from '../../support/tally.js';
import { broker as nats } from './broker.js';

const LEASE = 3_000;
const PREFETCH = 32;
const CONSUMERS = 2;

describeWithNats('A NATS queue whose stream or consumer is deleted under load', () => {
  const stage = new Stage(nats);

  const manage = <Answer>(task: (manager: JetStreamManager) => Promise<Answer>) =>
    stage.server.use(async (connection) => task(await jetstreamManager(connection, { checkAPI: false })));

  const deleteStream = () => manage((manager) => manager.streams.delete(queueNames(stage.name).stream));

  /** Resolves to how many messages the stream had: the delivered ones may be redelivered. */
  const deleteConsumer = () => {
    const { stream, consumer } = queueNames(stage.name);
    return manage(async (manager) => {
      const { state } = await manager.streams.info(stream);
      await deleteNatsConsumer(manager, stream, consumer('default'));
      return state.messages;
    });
  };

  it('loses no message that is published after its stream was deleted', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    const published = stage.publish(queue, { tally, count: 2_500, ahead: 500 });
    await stage.until(() => tally.done >= 800, tally);
    await deleteStream();
    tally.emptied();
    expect(tally.confirmed).toBeLessThan(2_500);
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(2_500);
    // A stored message whose confirm was not sent is stored again.
    stage.close(tally, 'a stream deleted under load', AT_ONCE);
  }, 100_000);

  it('resolves ack() to false if the message was deleted with its stream', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: 5 });
    const tally = new Tally();
    const holder = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.publish(queue, { tally, count: 5 });
    await stage.until(() => holder.got.length === 5, tally);

    await deleteStream();
    holder.finish();
    await stage.until(() => holder.settled.size === 5, tally);
    expect([...holder.settled.values()]).toEqual([false, false, false, false, false]);
    await stage.publish(queue, { tally, from: 5, count: 20 });
    await stage.until(() => holder.settled.size === 25, tally);
    expect([...holder.settled.values()].slice(5)).not.toContain(false);
    stage.close(tally, 'a stream deleted with messages in flight', 0);
  }, 100_000);

  it('keeps every message if its consumer is deleted', async () => {
    const { queue, settings } = stage.open({ lease: LEASE, prefetch: PREFETCH });
    const tally = new Tally();
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    const published = stage.publish(queue, { tally, count: 2_500, ahead: 500 });
    let held = 0;
    for (const at of [600, 1_500]) {
      await stage.until(() => tally.done >= at, tally);
      expect(tally.confirmed).toBeLessThan(2_500);
      held += (await deleteConsumer()) + PREFETCH * CONSUMERS;
    }
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(2_500);
    stage.close(tally, 'the consumer of a group deleted twice under load', held);
  }, 100_000);
});
