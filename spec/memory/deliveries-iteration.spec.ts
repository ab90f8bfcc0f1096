import { MemoryBackend } from 'sluice';
import { full, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(numbers: number[]) {
  const logger = recordingLogger();
  const queue = new MemoryBackend({ logger });
  void publishAll(queue, numbers);
  return { logger, queue };
}

describe('for await … of deliveries()', () => {
  it('acknowledges a delivery that the loop body did not settle', async () => {
    const { queue, logger } = setUp(upTo(3));
    const unfinished: number[] = [];
    await queue.close();
    for await (const delivery of queue.deliveries()) {
      expect(delivery.settled).toBe(false);
      unfinished.push(queue.unfinished);
    }
    expect(unfinished).toEqual([3, 2, 1]);
    expect(queue.unfinished).toBe(0);
    expect(logger.warnings).toEqual([]);
  });

  it('acknowledges synchronously in next()', async () => {
    const { queue } = setUp(upTo(2));
    const deliveries = queue.deliveries()[Symbol.asyncIterator]();
    const [first] = await pull(deliveries, 1);
    expect(first?.settled).toBe(false);
    void deliveries.next();
    expect(first?.settled).toBe('acked');
  });

  it('requeues an unsettled delivery on break with one more attempt', async () => {
    const { queue } = setUp(upTo(3));
    for await (const delivery of queue.deliveries()) if (numberOf(delivery.payload) === 2) break;
    expect([queue.size, queue.inFlight]).toEqual([2, 0]);
    expect(new Holder(queue).attempts).toEqual([
      [2, 2],
      [3, 1],
    ]);
  });

  it('redelivers the message if the loop body throws', async () => {
    const { queue } = setUp([1]);
    const boom = new Error('boom');
    const loop = async (): Promise<void> => {
      for await (const _ of queue.deliveries()) throw boom;
    };
    expect(await rejectionOf(loop())).toBe(boom);
    expect(await rejectionOf(loop())).toBe(boom);
    expect(new Holder(queue).attempts).toEqual([[1, 3]]);
  });

  it('marks a delivery as retried that it requeued on return()', async () => {
    const { queue } = setUp([1]);
    const deliveries = full(queue.deliveries()[Symbol.asyncIterator]());
    const [delivery] = await pull(deliveries, 1);
    await deliveries.return();
    expect(delivery?.settled).toBe('retried');
    expect(await delivery?.ack()).toBe(false);
  });

  it.each([
    ['ack', 0, []],
    ['reject', 0, []],
    ['nack', 1, [[1, 2]]],
    ['release', 1, [[1, 1]]],
  ] as const)('does not touch a delivery that the loop body settled with %s', async (settle, unfinished, attempts) => {
    const { queue, logger } = setUp([1]);
    for await (const delivery of queue.deliveries()) {
      expect(await delivery[settle]()).toBe(true);
      break;
    }
    expect(queue.unfinished).toBe(unfinished);
    expect(logger.warnings).toEqual([]);
    expect(new Holder(queue).attempts).toEqual(attempts);
  });

  it('continues after manual settlements without a warning', async () => {
    const { queue, logger } = setUp(upTo(4));
    await queue.close();
    const ways = ['ack', 'reject', 'nack', 'release'] as const;
    const seen: number[] = [];
    for await (const delivery of queue.deliveries()) {
      const n = numberOf(delivery.payload);
      if (!seen.includes(n)) await delivery[ways[n - 1] ?? 'ack']();
      seen.push(n);
    }
    expect(seen.toSorted()).toEqual([1, 2, 3, 3, 4, 4]);
    expect(logger.warnings).toEqual([]);
    expect(queue.unfinished).toBe(0);
  });

  it('takes one message at a time by default', async () => {
    const { queue } = setUp(upTo(5));
    await queue.deliveries()[Symbol.asyncIterator]().next();
    await turns();
    expect([queue.inFlight, queue.size]).toEqual([1, 4]);
  });

  it('requeues prefetched messages in order and without counting an attempt', async () => {
    const { queue } = setUp(upTo(6));
    for await (const delivery of queue.deliveries({ prefetch: 4 })) {
      expect(queue.inFlight).toBe(4);
      if (numberOf(delivery.payload) === 2) break;
    }
    expect(new Holder(queue).attempts).toEqual([
      [2, 2],
      [3, 1],
      [4, 1],
      [5, 1],
      [6, 1],
    ]);
  });

  it('lets the loop body finish after an abort and requeues prefetched messages immediately', async () => {
    const { queue, logger } = setUp(upTo(6));
    const controller = new AbortController();
    const seen: number[] = [];
    for await (const delivery of queue.deliveries({ prefetch: 4, signal: controller.signal })) {
      seen.push(numberOf(delivery.payload));
      if (seen.length < 2) continue;
      controller.abort();
      expect([queue.inFlight, queue.size]).toEqual([1, 4]);
      await turns();
      expect(delivery.settled).toBe(false);
    }
    expect(seen).toEqual([1, 2]);
    expect(queue.unfinished).toBe(4);
    expect(new Holder(queue).attempts).toEqual([
      [3, 1],
      [4, 1],
      [5, 1],
      [6, 1],
    ]);
    expect(logger.warnings).toEqual([]);
  });

  it('lets the loop body settle after an abort', async () => {
    const { queue } = setUp([1]);
    const controller = new AbortController();
    for await (const delivery of queue.deliveries({ signal: controller.signal })) {
      controller.abort();
      expect(await delivery.nack()).toBe(true);
    }
    expect(new Holder(queue).attempts).toEqual([[1, 2]]);
  });

  it('gives each loop over one stream its own deliveries', async () => {
    const { queue } = setUp(upTo(2));
    const stream = queue.deliveries();
    const loops = [stream[Symbol.asyncIterator](), stream[Symbol.asyncIterator]()];
    const results = await Promise.all(loops.map((loop) => pull(loop, 1)));
    expect(results.flat().map(({ payload }) => numberOf(payload))).toEqual([1, 2]);
  });

  it('competes with subscribers of the same group', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    const deliveries = queue.deliveries()[Symbol.asyncIterator]();
    const pending = deliveries.next();
    const holder = new Holder(queue);
    void publishAll(queue, upTo(3));
    expect(numberOf((await pending).value.payload)).toBe(1);
    expect(holder.numbers).toEqual([2, 3]);
  });

  it('receives a nacked message again in a later macrotask', async () => {
    const { queue } = setUp([1]);
    const seen: number[] = [];
    for await (const delivery of queue.deliveries()) {
      seen.push(delivery.attempt);
      if (delivery.attempt === 5) {
        await delivery.ack();
        break;
      }
      await delivery.nack();
    }
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(queue.unfinished).toBe(0);
  });
});
