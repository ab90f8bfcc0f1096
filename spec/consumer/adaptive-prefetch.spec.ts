import { filter } from 'rxjs';
import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend } from 'sluice';
import { Credit } from '../../src/bridge/credit.js';
import { AdaptivePrefetch } from '../../src/consumer/adaptive-prefetch.js';
import { ChangedQueue } from '../support/changed-queue.js';
import { publishAll, upTo } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** A consumer whose handlers take `takes()` milliseconds. */
function consumerOf(takes: () => number, options: AsyncLoopConsumerOptions = {}) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const queue = new MemoryBackend({ scheduler, logger: silentLogger });
  const consumer = new AsyncLoopConsumer(queue, { scheduler, logger: silentLogger, ...options });
  const publish = (count: number) => void publishAll(queue, upTo(count));
  const work = () => new Promise<void>((resolve) => void scheduler.schedule(() => resolve(), takes()));
  const pass = async (milliseconds: number, step = 1) => {
    for (let passed = 0; passed < milliseconds; passed += step) {
      clock.advance(step);
      await turns(1);
    }
  };
  const running = consumer.run(work);
  return { clock, queue, consumer, publish, pass, running };
}

describe("A consumer with the default prefetch 'auto'", () => {
  it('prefetches as many messages as its handlers started within the last second', async () => {
    const { queue, publish, pass } = consumerOf(() => 50, { concurrency: 1 });
    publish(200);
    expect(queue.inFlight).toBe(2);
    await pass(200, 10);
    expect(queue.inFlight).toBeGreaterThanOrEqual(4);
    await pass(3000, 10);
    expect(queue.inFlight).toBeGreaterThanOrEqual(19);
    expect(queue.inFlight).toBeLessThanOrEqual(21);
  });

  it('prefetches at least one more message than its concurrency, and at most 256', async () => {
    const slow = consumerOf(() => 60_000, { concurrency: 8 });
    slow.publish(100);
    await slow.pass(5000, 100);
    expect(slow.queue.inFlight).toBe(9);
    const fast = consumerOf(() => 0, { concurrency: 4 });
    fast.publish(3000);
    await fast.pass(300);
    expect(fast.queue.size).toBeGreaterThan(0);
    expect(fast.queue.inFlight).toBe(256);
    const wide = consumerOf(() => 60_000, { concurrency: 300 });
    wide.publish(1000);
    expect(wide.queue.inFlight).toBe(301);
  });

  it('takes no more messages when its handlers become slow, until it has what they can start', async () => {
    let takes = 0;
    const { queue, publish, pass } = consumerOf(() => takes, { concurrency: 4 });
    publish(3000);
    await pass(300);
    const { size } = queue;
    takes = 500;
    await pass(1500, 10);
    expect(queue.size).toBeGreaterThan(size - 300);
    const left = queue.size;
    await pass(5000, 100);
    expect(queue.size).toBe(left);
  });

  it('prefetches few messages again after a pause', async () => {
    let takes = 0;
    const { queue, clock, publish, pass } = consumerOf(() => takes);
    publish(300);
    await pass(500);
    expect([queue.unfinished, clock.timers]).toEqual([0, 1]);
    await pass(2000, 100);
    expect(clock.timers).toBe(0);
    takes = 60_000;
    publish(100);
    expect(queue.inFlight).toBe(2);
  });

  it('forgets earlier starts when the clock is set back', () => {
    const credit = new Credit(1);
    const prefetch = new AdaptivePrefetch(credit, 1, new VirtualClock().scheduler);
    for (const n of upTo(50)) prefetch.handlerStarted(3_600_000 + n);
    expect(credit.limit).toBe(50);
    for (const n of upTo(3)) prefetch.handlerStarted(n);
    expect(credit.limit).toBe(3);
    prefetch.stop();
  });

  it('leaves no timer behind', async () => {
    const { queue, clock, consumer, publish, pass, running } = consumerOf(() => 0);
    publish(100);
    await pass(200);
    await consumer.shutdown();
    await running;
    expect([clock.timers, queue.unfinished]).toEqual([0, 0]);
  });

  it.each([
    [1, 32],
    [50, 50],
  ])(
    'has a fixed prefetch on a backend that cannot change it: for a concurrency of %p, %p',
    (concurrency, expected) => {
      const queue = new ChangedQueue({ logger: silentLogger }, (stream) => stream.pipe(filter(() => true)));
      void publishAll(queue, upTo(100));
      void new AsyncLoopConsumer(queue, { concurrency }).run(() => new Promise(() => {}));
      expect(queue.inFlight).toBe(expected);
    },
  );
});
