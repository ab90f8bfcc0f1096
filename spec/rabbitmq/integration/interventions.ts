import { BackendUnavailableError } from 'sluice';
import { queueNames } from '../../../src/rabbitmq/names.js';
import type { Stage } from '../../integration/stage.js';
import type { RabbitMqServer } from '../../support/servers/rabbitmq-server.js';
import { Tally } from '../../support/tally.js';

const PREFETCH = 32;
const CONSUMERS = 2;

/** Cases of queues that the broker or its operator changes. */
export function interventions(stage: Stage<RabbitMqServer>): void {
  const deleteQueue = () =>
    stage.server.use((connection) => connection.queueDelete(queueNames(stage.name).group('default').queue));

  /** Sets the consumer timeout in milliseconds for channels that are opened later. */
  const limitConsumers = (timeout: number | 'undefined') =>
    stage.server.run(
      'eval',
      `application:set_env(rabbit, channel_tick_interval, 500), application:set_env(rabbit, consumer_timeout, ${timeout}).`,
    );

  const limitMemory = (share: number) => stage.server.run('set_vm_memory_high_watermark', String(share));

  it('loses no message published after the queue of its group was deleted under load', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ lease: 3_000, publishTimeout: 60_000, prefetch: PREFETCH });
    await stage.consumers(CONSUMERS, { ...settings, work: 10 }, tally);
    const published = stage.publish(queue, { tally, count: 2_500, ahead: 500 });
    await stage.until(() => tally.done >= 800, tally);
    await deleteQueue();
    tally.emptied();
    expect(tally.confirmed).toBeLessThan(2_500);
    await published;
    await stage.settled(queue, tally);
    expect(tally.confirmed).toBe(2_500);
    stage.close(tally, 'the queue of a group deleted under load', 0, 1);
  }, 100_000);

  it('resolves an ack with false if the message was deleted with its queue', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ prefetch: 5 });
    const holder = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.publish(queue, { tally, count: 5 });
    await stage.until(() => holder.got.length === 5, tally);

    await deleteQueue();
    await stage.until(() => holder.warnings.some((warning) => /declared again/.test(warning)), tally);
    holder.finish();
    await stage.until(() => holder.settled.size === 5, tally);
    expect([...holder.settled.values()]).toEqual([false, false, false, false, false]);
    await stage.publish(queue, { tally, from: 5, count: 20 });
    await stage.until(() => holder.settled.size === 25, tally);
    expect([...holder.settled.values()].slice(5)).not.toContain(false);
    stage.close(tally, 'the queue of a group deleted with messages in flight', 0);
  }, 100_000);

  it('redelivers messages after the consumer timeout and logs the setting to change', async () => {
    const held = 8;
    const tally = new Tally();
    await limitConsumers(1_500);
    const { queue, settings } = stage.open({ prefetch: held });
    const consumer = await stage.consumer({ ...settings, work: 'until-told' }, tally);
    await stage.publish(queue, { tally, count: held });
    await stage.until(() => consumer.got.length >= 2 * held, tally);
    expect(consumer.got.slice(held, 2 * held).map(({ attempt }) => attempt)).toEqual(Array(held).fill(2));
    await limitConsumers('undefined');

    consumer.finish();
    await stage.publish(queue, { tally, from: held, count: 200 });
    await stage.settled(queue, tally);
    const timeouts = consumer.warnings.filter((warning) => /consumer_timeout/.test(warning));
    expect(timeouts.length).toBeGreaterThan(0);
    stage.close(tally, 'a handler longer than the consumer_timeout of the broker', held * timeouts.length);
  }, 100_000);

  it('keeps publishes waiting while the broker is out of memory and rejects them with the reason', async () => {
    const tally = new Tally();
    const { queue, settings } = stage.open({ publishTimeout: 1_000 });
    const { queue: patient } = stage.open({ publishTimeout: 60_000 });
    await stage.consumer({ ...settings, work: 0 }, tally);
    await stage.publish(queue, { tally, count: 200 });
    await stage.publish(patient, { tally, from: 200, count: 200 });
    expect(tally.confirmed).toBe(400);

    stage.ending(() => limitMemory(0.4));
    await limitMemory(0.0001);
    let [id, error]: [number, unknown] = [1_000, undefined];
    await stage.until(async () => {
      const publish = queue.publish('load', { id });
      publish.catch((reason: unknown) => {
        error = reason;
      });
      await tally.published(id++, publish);
      return /blocked/.test(String(error));
    }, tally);
    expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: true });

    const { confirmed } = tally;
    const waiting = stage.publish(patient, { tally, from: 10_000, count: 500 });
    await tally.published(id, queue.publish('load', { id }));
    expect(tally.confirmed).toBeLessThan(confirmed + 500);
    await limitMemory(0.4);
    await waiting;
    await stage.publish(queue, { tally, from: 20_000, count: 200 });
    expect(tally.confirmed).toBe(confirmed + 700);
    await stage.settled(queue, tally);
    stage.close(tally, 'a broker without memory', 0);
  }, 100_000);
}
