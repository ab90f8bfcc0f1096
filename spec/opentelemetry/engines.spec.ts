import { context, propagation } from '@opentelemetry/api';
import { AsyncLoopConsumer } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { describeWithEveryEngine } from '../integration/every-engine.js';
import { Stage } from '../integration/stage.js';
import { silentLogger } from '../support/recording-logger.js';
import { Recorder } from './recorder.js';

describeWithEveryEngine('A trace on %s', (broker, { title }) => {
  const stage = new Stage(broker);
  const recorder = new Recorder();

  it('goes through the headers, with the baggage, and through a retry', async () => {
    const { queue } = stage.open();
    const orders = traced(queue, { ...recorder.options, process: 'parent', meterProvider: recorder.meters });
    const baggage = propagation.createBaggage({ tenant: { value: 'acme & sons' } });
    await context.with(propagation.setBaggage(context.active(), baggage), () =>
      orders.publish('key', { n: 1 }, { headers: { mine: 'kept' } }),
    );
    const seen: unknown[] = [];
    const consumer = new AsyncLoopConsumer(orders, { retry: { count: 1, delay: 0 }, logger: silentLogger });
    const running = consumer.run(async (payload, { headers, attempt }) => {
      await new Promise(setImmediate);
      seen.push([payload, headers.mine, propagation.getActiveBaggage()?.getEntry('tenant')?.value]);
      if (attempt === 1) throw new Error('broken');
    });
    await recorder.count(3);
    const gauges = await recorder.metrics();
    await consumer.shutdown();
    await running;
    expect(seen).toEqual(Array(2).fill([{ n: 1 }, 'kept', 'acme & sons']));
    const [publish, process] = [`publish ${stage.name}`, `process ${stage.name}`];
    expect(recorder.seen).toEqual([
      { name: publish, kind: 'PRODUCER', parent: undefined, links: [] },
      { name: process, kind: 'CONSUMER', parent: publish, links: [] },
      { name: process, kind: 'CONSUMER', parent: publish, links: [] },
    ]);
    expect(
      recorder.all(process).map(({ attributes }) => [attributes['messaging.system'], attributes['sluice.outcome']]),
    ).toEqual([
      [title.toLowerCase().split(' ')[0], 'retried'],
      [title.toLowerCase().split(' ')[0], 'acked'],
    ]);
    const [unfinished] = gauges.get('sluice.queue.unfinished')?.dataPoints ?? [];
    expect([unfinished?.value, unfinished?.attributes['messaging.destination.name']]).toEqual([0, stage.name]);
  });
});
