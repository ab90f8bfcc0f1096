import { createNoopMeter, metrics } from '@opentelemetry/api';
import { DataPointType, type MetricData } from '@opentelemetry/sdk-metrics';
import { of } from 'rxjs';
import { MemoryBackend, type QueueBackend, QueueClosedError } from 'sluice';
import { traced } from 'sluice/opentelemetry';
import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../support/recording-logger.js';
import { handleNext, Recorder } from './recorder.js';

const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

const recorder = new Recorder();

/** The name of the queue of a test: the SDK keeps the counts of all tests. */
let name = 'metrics';
let number = 0;

beforeEach(() => {
  name = `orders-${++number}`;
});

function open(): MemoryBackend {
  return new MemoryBackend({ name, logger: silentLogger });
}

function measure<Queue extends QueueBackend>(queue: Queue): Queue {
  return traced(queue, { ...recorder.options, meterProvider: recorder.meters });
}

/** Returns the points of a metric for the queue of this test, without the attributes of the queue. */
function pointsOf(metric: MetricData | undefined): { attributes: object; value: unknown }[] {
  return (metric?.dataPoints ?? [])
    .filter(({ attributes }) => attributes['messaging.destination.name'] === name)
    .map(({ attributes, value }) => {
      const { 'messaging.destination.name': _, 'messaging.system': system, ...rest } = attributes;
      expect(system).toBe('memory');
      return { attributes: rest, value };
    });
}

async function points(): Promise<Record<string, { attributes: object; value: unknown }[]>> {
  const all = await recorder.metrics();
  return Object.fromEntries([...all].map(([key, metric]) => [key, pointsOf(metric)]));
}

describe('The metrics of a traced queue', () => {
  it('count messages, and measure durations in seconds with the buckets of the conventions', async () => {
    const queue = measure(open());
    for (const n of [1, 2]) await queue.publish('key', { n });
    await handleNext(
      queue,
      2,
      ({ payload }) => {
        if ((payload as { n: number }).n === 2) throw new RangeError('broken');
      },
      { logger: silentLogger },
    );
    const all = await recorder.metrics();
    const units = [...all].map(([key, { descriptor }]) => [key, descriptor.unit]);
    expect(Object.fromEntries(units)).toEqual({
      'messaging.client.sent.messages': '{message}',
      'messaging.client.consumed.messages': '{message}',
      'messaging.client.operation.duration': 's',
      'messaging.process.duration': 's',
      'sluice.queue.ready': '{message}',
      'sluice.queue.unfinished': '{message}',
    });
    const publish = { 'messaging.operation.name': 'publish' };
    const process = { 'messaging.operation.name': 'process', 'messaging.consumer.group.name': 'default' };
    expect(pointsOf(all.get('messaging.client.sent.messages'))).toEqual([{ attributes: publish, value: 2 }]);
    expect(pointsOf(all.get('messaging.client.consumed.messages'))).toEqual([
      { attributes: { ...process, 'messaging.operation.name': 'deliver' }, value: 2 },
    ]);
    const histogram = (count: number) =>
      expect.objectContaining({ count, buckets: expect.objectContaining({ boundaries: BUCKETS }) });
    expect(pointsOf(all.get('messaging.client.operation.duration'))).toEqual([
      { attributes: { ...publish, 'messaging.operation.type': 'send' }, value: histogram(2) },
    ]);
    expect(pointsOf(all.get('messaging.process.duration'))).toEqual([
      { attributes: process, value: histogram(1) },
      { attributes: { ...process, 'error.type': 'RangeError' }, value: histogram(1) },
    ]);
    expect(all.get('messaging.process.duration')?.dataPointType).toBe(DataPointType.HISTOGRAM);
  });

  it('count failed publishes with their error', async () => {
    const queue = measure(open());
    await expect(queue.publish('', {})).rejects.toThrow();
    const { 'messaging.client.sent.messages': sent, 'messaging.client.operation.duration': durations } = await points();
    const attributes = { 'messaging.operation.name': 'publish', 'error.type': 'InvalidMessageError' };
    expect(sent).toEqual([{ attributes, value: 1 }]);
    expect(durations).toMatchObject([{ attributes }]);
  });

  it('measure a handler in seconds', async () => {
    const queue = measure(open());
    await queue.publish('key', {});
    let now = 0;
    jest.spyOn(Date, 'now').mockImplementation(() => now);
    try {
      await handleNext(queue, 1, () => {
        now = 1500;
      });
    } finally {
      jest.restoreAllMocks();
    }
    const { 'messaging.process.duration': durations } = await points();
    expect(durations).toMatchObject([{ value: { sum: 1.5, count: 1 } }]);
  });

  it('count each delivery of a loop', async () => {
    const queue = measure(open());
    await queue.publish('key', {});
    for await (const _ of queue.deliveries()) break;
    for await (const _ of queue.consume()) break;
    const { 'messaging.client.consumed.messages': consumed } = await points();
    expect(consumed).toMatchObject([{ value: 2 }]);
  });

  it('show how many messages are ready and unfinished, until the queue has drained', async () => {
    const queue = open();
    const measured = measure(queue);
    const counts = async () => {
      const { 'sluice.queue.ready': ready, 'sluice.queue.unfinished': unfinished } = await points();
      return [ready, unfinished].map((found) => found?.map(({ value }) => value));
    };
    const stats = jest.spyOn(queue, 'stats');
    expect(await counts()).toEqual([[], []]);
    expect(stats).not.toHaveBeenCalled();
    await measured.publish('key', {});
    await measured.publish('key', {}, { delay: 60_000 });
    expect(await counts()).toEqual([[1], [2]]);
    await queue.close();
    expect(await counts()).toEqual([[1], [2]]);
    queue.clear();
    expect(await counts()).toEqual([[0], [0]]);
    const calls = stats.mock.calls.length;
    await counts();
    expect(stats).toHaveBeenCalledTimes(calls);
  });

  it('never connect a queue', async () => {
    const queue = new RedisBackend({ url: 'redis://127.0.0.1:1', name, logger: silentLogger });
    const statuses: string[] = [];
    queue.status$.subscribe((status) => statuses.push(status));
    measure(queue);
    expect((await recorder.metrics()).get('sluice.queue.ready')?.dataPoints ?? []).not.toContainEqual(
      expect.objectContaining({ attributes: expect.objectContaining({ 'messaging.destination.name': name }) }),
    );
    await queue.close();
    await recorder.metrics();
    expect(statuses).toEqual(['idle', 'closed']);
  });

  it.each(['connecting', 'disconnected'])('do not ask a queue that is %s', async (status) => {
    const queue = open();
    const stats = jest.spyOn(queue, 'stats');
    Object.defineProperty(queue, 'status$', { value: of(status) });
    measure(queue);
    await recorder.metrics();
    expect(stats).not.toHaveBeenCalled();
  });

  it('ask a queue without a status, and forget it when it is closed', async () => {
    const queue = open();
    Object.defineProperty(queue, 'status$', { value: undefined });
    measure(queue);
    expect((await points())['sluice.queue.ready']).toMatchObject([{ value: 0 }]);
    const stats = jest.spyOn(queue, 'stats').mockRejectedValue(new QueueClosedError('closed'));
    await recorder.metrics();
    await recorder.metrics();
    expect(stats).toHaveBeenCalledTimes(1);
  });

  it('survive a failure of the counts', async () => {
    const queue = open();
    measure(queue);
    await queue.publish('key', {});
    const stats = jest.spyOn(queue, 'stats').mockRejectedValueOnce(new Error('broken'));
    expect((await points())['sluice.queue.ready'] ?? []).toEqual([]);
    expect((await points())['sluice.queue.ready']).toMatchObject([{ value: 1 }]);
    expect(stats).toHaveBeenCalledTimes(2);
  });

  it('cost nothing if nobody collects them', () => {
    const getMeter = jest.spyOn(metrics, 'getMeter');
    const queue = open();
    const stats = jest.spyOn(queue, 'stats');
    traced(queue, recorder.options);
    expect(getMeter).toHaveReturnedWith(createNoopMeter());
    expect(stats).not.toHaveBeenCalled();
  });
});
