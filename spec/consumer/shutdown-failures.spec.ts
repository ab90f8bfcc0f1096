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

// Fails for the first message only.
function failsFirst(payload: object): void {
  if (numberOf(payload) === 1) throw new Error('no');
}

/** A dead letter function whose calls the test finishes. */
function manualDeadLetter() {
  const calls: { finish(): void; fail(): void; signal: AbortSignal }[] = [];
  const deadLetter = (_delivery: object, _error: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve, reject) =>
      calls.push({ finish: resolve, fail: () => reject(new Error('no disk')), signal }),
    );
  return { calls, deadLetter };
}

describe('AsyncLoopConsumer.shutdown while a retry is pending', () => {
  it('does not wait for it without orderBy: the message is in the queue with its delay', async () => {
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

  it('does not wait for it with orderBy: it nacks the message and releases those behind it', async () => {
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

  it('nacks its message while a handler still runs', async () => {
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

  it('requeues a failing message with those behind it in order', async () => {
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

describe('AsyncLoopConsumer.shutdown while a dead letter is being published', () => {
  it('waits until it is published', async () => {
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

  it('leaves the message in the queue if it fails, and does not retry it', async () => {
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

  it('aborts it after `timeout` and requeues the message', async () => {
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
    // A late end has no effect.
    calls[0]?.finish();
    await turns();
    expect([queue.unfinished, statuses().length, logger.warnings]).toEqual([1, 1, []]);
  });

  it('does not wait for the retry of a failed one', async () => {
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

describe('AsyncLoopConsumer with a full dead letter queue', () => {
  function withFullQueue(overflow: 'wait' | 'error') {
    const failed = new MemoryBackend({ capacity: 1, overflow, logger: recordingLogger() });
    void failed.publish('number', { n: 0 });
    return { failed, ...setUp(() => ({ retry: { count: 0, delay: 0 }, deadLetter: failed, concurrency: 1 })) };
  }

  it('continues with other messages and publishes the dead letter once there is capacity', async () => {
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

  it('shuts down after the timeout: the message stays in the queue and is not dead-lettered later', async () => {
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

  it('retries after at least a second if the queue rejects, without running the handler again', async () => {
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

  it('retries after `delay` if that is longer, called with the number of the retry', async () => {
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

  it('shuts down immediately if the queue rejects', async () => {
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
