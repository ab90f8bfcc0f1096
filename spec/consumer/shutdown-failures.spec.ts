import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend, type Outcome } from 'sluice';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, stateOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(options: (clock: VirtualClock) => AsyncLoopConsumerOptions) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const logger = recordingLogger();
  const queue = new MemoryBackend({ scheduler, logger });
  const consumer = new AsyncLoopConsumer(queue, { scheduler, logger: recordingLogger(), ...options(clock) });
  const outcomes: Outcome[] = [];
  consumer.outcomes$.subscribe((outcome) => outcomes.push(outcome));
  const statuses = () => outcomes.map(({ delivery, status }) => [numberOf(delivery.payload), status]);
  return { clock, logger, queue, consumer, statuses };
}

/** A handler of which the first message fails, and every other one is well. */
function failsFirst(payload: object): void {
  if (numberOf(payload) === 1) throw new Error('no');
}

/** A function for dead letters whose calls a test ends by hand. */
function manualDeadLetter() {
  const calls: { finish(): void; fail(): void; signal: AbortSignal }[] = [];
  const deadLetter = (_delivery: object, _error: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve, reject) =>
      calls.push({ finish: resolve, fail: () => reject(new Error('no disk')), signal }),
    );
  return { calls, deadLetter };
}

describe('AsyncLoopConsumer.shutdown, while a retry waits,', () => {
  it('does not wait for it: without an order it is in the queue already, with its delay', async () => {
    const { clock, queue, consumer, statuses } = setUp(() => ({ retry: { delay: 1000 } }));
    void publishAll(queue, upTo(2));
    const running = consumer.run(failsFirst);
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    await running;
    expect(statuses()).toEqual([
      [1, 'retried'],
      [2, 'acked'],
    ]);
    const holder = new Holder(queue);
    clock.advance(999);
    expect(holder.attempts).toEqual([]);
    clock.advance(1);
    expect(holder.attempts).toEqual([[1, 2]]);
  });

  it('does not wait for it: with an order it is nacked, and what is behind it goes back untouched', async () => {
    const { clock, queue, consumer, statuses } = setUp(() => ({
      retry: { delay: 1000 },
      orderBy: 'key',
      concurrency: 2,
    }));
    void publishAll(queue, upTo(3));
    const running = consumer.run(failsFirst);
    expect(statuses()).toEqual([[1, 'retried']]);
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    await running;
    expect(statuses()).toEqual([
      [1, 'retried'],
      [2, 'released'],
      [3, 'released'],
    ]);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
    expect(clock.timers).toBe(0);
  });

  it('nacks it also when a handler in flight is still waited for', async () => {
    const { clock, queue, consumer } = setUp(() => ({
      retry: { delay: 1000 },
      orderBy: ({ payload }) => numberOf(payload) % 2,
      concurrency: 2,
    }));
    void publishAll(queue, upTo(4));
    let finish = () => {};
    void consumer.run((payload) =>
      numberOf(payload) === 2 ? new Promise<void>((resolve) => (finish = resolve)) : failsFirst(payload),
    );
    const stopped = consumer.shutdown();
    expect(await stateOf(stopped)).toBe('pending');
    clock.advance(5000);
    finish();
    await stopped;
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [3, 1],
      [4, 1],
    ]);
  });

  it('gives a handler that fails during it back with those behind it, in their order', async () => {
    const { queue, consumer, statuses } = setUp(() => ({ retry: { delay: 1000 }, orderBy: 'key' }));
    void publishAll(queue, upTo(3));
    let fail = () => {};
    void consumer.run(() => new Promise<void>((_, reject) => (fail = () => reject(new Error('no')))));
    const stopped = consumer.shutdown();
    fail();
    await stopped;
    expect(statuses()[0]).toEqual([1, 'retried']);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
  });
});

describe('AsyncLoopConsumer.shutdown, while a dead letter is being published,', () => {
  it('waits for it', async () => {
    const { calls, deadLetter } = manualDeadLetter();
    const { queue, consumer, statuses } = setUp(() => ({ retry: { count: 0 }, deadLetter }));
    void publishAll(queue, upTo(2));
    const running = consumer.run(failsFirst);
    const stopped = consumer.shutdown();
    expect([await stateOf(running), await stateOf(stopped), queue.unfinished]).toEqual(['pending', 'pending', 1]);
    calls[0]?.finish();
    await Promise.all([running, stopped]);
    expect(statuses()).toEqual([
      [2, 'acked'],
      [1, 'dead-lettered'],
    ]);
    expect([queue.unfinished, calls[0]?.signal.aborted]).toEqual([0, false]);
  });

  it('leaves the message in the queue if that fails, and tries it no more', async () => {
    const { calls, deadLetter } = manualDeadLetter();
    const { clock, queue, consumer, statuses } = setUp(() => ({ retry: { count: 0 }, deadLetter }));
    void publishAll(queue, [1]);
    const running = consumer.run(failsFirst);
    const stopped = consumer.shutdown();
    calls[0]?.fail();
    await Promise.all([running, stopped]);
    expect(statuses()).toEqual([[1, 'released']]);
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
    clock.advance(100_000);
    expect([calls.length, clock.timers]).toEqual([1, 0]);
  });

  it('aborts it when it takes longer than `timeout`, and the message goes back', async () => {
    const { calls, deadLetter } = manualDeadLetter();
    const { clock, queue, consumer, statuses, logger } = setUp(() => ({ retry: { count: 0 }, deadLetter }));
    void publishAll(queue, [1]);
    const running = consumer.run(failsFirst);
    const stopped = consumer.shutdown({ timeout: 100 });
    clock.advance(99);
    expect(calls[0]?.signal.aborted).toBe(false);
    clock.advance(1);
    expect(calls[0]?.signal.aborted).toBe(true);
    await Promise.all([running, stopped]);
    expect(statuses()).toEqual([[1, 'released']]);
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
    // A late end changes nothing any more.
    calls[0]?.finish();
    await turns();
    expect([queue.unfinished, statuses().length, logger.warnings]).toEqual([1, 1, []]);
  });

  it('does not wait for the next try of one that has failed', async () => {
    const { calls, deadLetter } = manualDeadLetter();
    const { clock, queue, consumer, statuses } = setUp(() => ({ retry: { count: 0, delay: 5000 }, deadLetter }));
    void publishAll(queue, [1]);
    const running = consumer.run(failsFirst);
    calls[0]?.fail();
    await turns();
    expect(statuses()).toEqual([]);
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    await running;
    expect(statuses()).toEqual([[1, 'released']]);
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
    clock.advance(100_000);
    expect([calls.length, clock.timers]).toEqual([1, 0]);
  });
});

describe('AsyncLoopConsumer with a dead letter queue that is full', () => {
  function withFullQueue(overflow: 'wait' | 'error') {
    const failed = new MemoryBackend({ capacity: 1, overflow, logger: recordingLogger() });
    void failed.publish('number', { n: 0 });
    return { failed, ...setUp(() => ({ retry: { count: 0, delay: 0 }, deadLetter: failed, concurrency: 1 })) };
  }

  it('goes on with other messages meanwhile, and delivers it when there is room', async () => {
    const { failed, queue, consumer, statuses } = withFullQueue('wait');
    void publishAll(queue, upTo(3));
    void consumer.run(failsFirst);
    await turns();
    expect(statuses()).toEqual([
      [2, 'acked'],
      [3, 'acked'],
    ]);
    const letters = new Holder(failed);
    await queue.join();
    expect(letters.numbers).toEqual([0, 1]);
    expect(statuses().at(-1)).toEqual([1, 'dead-lettered']);
    await consumer.shutdown();
  });

  it('is shut down when the timeout is over: the message stays, and is not dead-lettered after all', async () => {
    const { failed, clock, queue, consumer, statuses } = withFullQueue('wait');
    void publishAll(queue, upTo(2));
    const running = consumer.run(failsFirst);
    const stopped = consumer.shutdown({ timeout: 100 });
    expect(await stateOf(stopped)).toBe('pending');
    clock.advance(100);
    await Promise.all([running, stopped]);
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
    const letters = new Holder(failed);
    await turns();
    expect(letters.numbers).toEqual([0]);
    expect(statuses()).toEqual([
      [2, 'acked'],
      [1, 'released'],
    ]);
  });

  it('tries again after at least a second where the queue refuses, and never runs the handler again', async () => {
    const { failed, clock, queue, consumer, statuses } = withFullQueue('error');
    void publishAll(queue, upTo(2));
    const handler = jest.fn(failsFirst);
    const published = jest.spyOn(failed, 'publish');
    void consumer.run(handler);
    await turns();
    clock.advance(999);
    new Holder(failed);
    await turns();
    expect([failed.unfinished, published.mock.calls.length]).toEqual([1, 1]);
    clock.advance(1);
    await turns();
    expect([failed.unfinished, queue.unfinished, handler.mock.calls.length]).toEqual([2, 0, 2]);
    expect(statuses().at(-1)).toEqual([1, 'dead-lettered']);
  });

  it('tries again after the `delay` where that is longer, which is asked with the number of the try', async () => {
    const times: number[] = [];
    const { clock, queue, consumer } = setUp(({ scheduler }) => ({
      retry: { count: 0, delay: (_error, retryCount) => retryCount * 2000 },
      deadLetter: async () => {
        if (times.push(scheduler.now()) < 3) throw new Error('no disk');
      },
    }));
    void publishAll(queue, [1]);
    void consumer.run(failsFirst);
    for (let second = 0; second < 10; second++) {
      await turns();
      clock.advance(1000);
    }
    expect(times).toEqual([0, 2000, 6000]);
    expect(queue.unfinished).toBe(0);
  });

  it('is shut down at once where the queue refuses', async () => {
    const { clock, queue, consumer } = withFullQueue('error');
    void publishAll(queue, upTo(2));
    const running = consumer.run(failsFirst);
    await turns();
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    await running;
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
    expect(clock.timers).toBe(0);
  });
});
