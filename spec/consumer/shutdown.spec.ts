import { finalize, NEVER, switchMap, timer } from 'rxjs';
import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend, type Outcome } from 'sluice';
import { ChangedQueue } from '../support/changed-queue.js';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const never = () => new Promise<void>(() => {});

function setUp(options: AsyncLoopConsumerOptions = {}) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const logger = recordingLogger();
  const queue = new MemoryBackend({ scheduler, logger });
  const consumer = new AsyncLoopConsumer(queue, { scheduler, logger: silentLogger, ...options });
  const outcomes: Outcome[] = [];
  consumer.outcomes$.subscribe((outcome) => outcomes.push(outcome));
  const statuses = () => outcomes.map(({ delivery, status }) => [numberOf(delivery.payload), status]);
  return { clock, logger, queue, consumer, statuses };
}

/** Handlers that the test finishes. */
class Gates {
  readonly signals: AbortSignal[] = [];
  readonly finish: (() => void)[] = [];
  readonly handler = (_payload: object, _delivery: object, { signal }: { signal: AbortSignal }) => {
    this.signals.push(signal);
    return new Promise<void>((resolve) => this.finish.push(resolve));
  };

  get aborted(): boolean[] {
    return this.signals.map(({ aborted }) => aborted);
  }
}

const attempts = (queue: MemoryBackend) => new Holder(queue, { prefetch: 1000 }).attempts;

describe('AsyncLoopConsumer.shutdown', () => {
  it('resolves before run() and does not affect a later run', async () => {
    const { queue, consumer } = setUp();
    await consumer.shutdown();
    await consumer.shutdown({ timeout: 0 });
    const handler = jest.fn();
    const running = consumer.run(handler);
    await queue.publish('key', {});
    expect(handler).toHaveBeenCalledTimes(1);
    expect(await stateOf(running)).toBe('pending');
  });

  it('ends an idle run and takes no more messages', async () => {
    const { queue, consumer } = setUp();
    const handler = jest.fn();
    const running = consumer.run(handler);
    const stopped = consumer.shutdown();
    void publishAll(queue, [1]);
    await Promise.all([running, stopped]);
    expect(handler).not.toHaveBeenCalled();
    expect(attempts(queue)).toEqual([[1, 1]]);
  });

  it('starts no handler, waits for the running ones and requeues the rest', async () => {
    const { queue, consumer, statuses, logger } = setUp({ concurrency: 2 });
    const gates = new Gates();
    void publishAll(queue, upTo(5));
    const running = consumer.run(gates.handler);
    const stopped = consumer.shutdown();
    gates.finish[1]?.();
    expect([await stateOf(running), await stateOf(stopped)]).toEqual(['pending', 'pending']);
    void publishAll(queue, [6]);
    gates.finish[0]?.();
    await Promise.all([running, stopped]);
    expect(gates.aborted).toEqual([false, false]);
    expect(statuses().filter(([, status]) => status !== 'released')).toEqual([
      [2, 'acked'],
      [1, 'acked'],
    ]);
    expect(attempts(queue)).toEqual([3, 4, 5, 6].map((n) => [n, 1]));
    expect(logger.warnings).toEqual([]);
  });

  it('retries a running handler that fails later, and counts the attempt', async () => {
    const { clock, queue, consumer, statuses } = setUp({ retry: { delay: 500 } });
    void publishAll(queue, [1]);
    let fail = () => {};
    void consumer.run(() => new Promise<void>((_, reject) => (fail = () => reject(new Error('no')))));
    const stopped = consumer.shutdown();
    fail();
    await stopped;
    expect(statuses()).toEqual([[1, 'retried']]);
    const holder = new Holder(queue);
    clock.advance(499);
    expect(holder.attempts).toEqual([]);
    clock.advance(1);
    expect(holder.attempts).toEqual([[1, 2]]);
  });

  it('aborts the signals of handlers after `timeout` and requeues their messages without counting an attempt', async () => {
    const { clock, queue, consumer, statuses, logger } = setUp({ concurrency: 2 });
    const gates = new Gates();
    void publishAll(queue, upTo(3));
    const running = consumer.run(gates.handler);
    const stopped = consumer.shutdown({ timeout: 100 });
    clock.advance(99);
    expect([gates.aborted, await stateOf(running), await stateOf(stopped)]).toEqual([
      [false, false],
      'pending',
      'pending',
    ]);
    clock.advance(1);
    expect(gates.aborted).toEqual([true, true]);
    await Promise.all([running, stopped]);
    for (const { reason } of gates.signals) expect(reason).toMatchObject({ name: 'AbortError' });
    expect(statuses().toSorted()).toEqual(upTo(3).map((n) => [n, 'released']));
    const later = new Holder(queue);
    expect(later.attempts).toEqual(upTo(3).map((n) => [n, 1]));
    // A handler that ends later settles nothing and causes no warning.
    for (const finish of gates.finish) finish();
    await turns();
    expect([later.held.length, statuses().length, logger.warnings]).toEqual([3, 3, []]);
  });

  it('unsubscribes from an Observable and returns an async iterable after `timeout`', async () => {
    const { clock, queue, consumer } = setUp({ concurrency: 2 });
    const left: string[] = [];
    const iterator: AsyncIterableIterator<number> = {
      next: () => never().then(() => ({ done: true, value: undefined })),
      return: async () => ({ done: true, value: left.push('iterable') }),
      [Symbol.asyncIterator]: () => iterator,
    };
    const observable = NEVER.pipe(finalize(() => left.push('observable')));
    void publishAll(queue, upTo(2));
    const running = consumer.run((payload) => (numberOf(payload) === 1 ? observable : iterator));
    const stopped = consumer.shutdown({ timeout: 100 });
    clock.advance(99);
    expect(left).toEqual([]);
    clock.advance(1);
    await Promise.all([running, stopped]);
    expect(left).toEqual(['observable', 'iterable']);
    expect(attempts(queue)).toEqual(upTo(2).map((n) => [n, 1]));
  });

  it('waits for 30 seconds by default', async () => {
    const { clock, queue, consumer } = setUp();
    const gates = new Gates();
    void publishAll(queue, [1]);
    void consumer.run(gates.handler);
    const stopped = consumer.shutdown();
    clock.advance(29_999);
    expect(gates.aborted).toEqual([false]);
    clock.advance(1);
    expect(gates.aborted).toEqual([true]);
    await stopped;
  });

  it('aborts immediately with a `timeout` of 0 and requeues messages that were not started', async () => {
    const { clock, queue, consumer } = setUp();
    const gates = new Gates();
    void publishAll(queue, upTo(3));
    const running = consumer.run(gates.handler);
    const stopped = consumer.shutdown({ timeout: 0 });
    clock.advance();
    await Promise.all([running, stopped]);
    expect(gates.aborted).toEqual([true]);
    expect(attempts(queue)).toEqual(upTo(3).map((n) => [n, 1]));
  });

  it('waits forever with a `timeout` of Infinity, without a timer', async () => {
    const { clock, queue, consumer } = setUp();
    const gates = new Gates();
    void publishAll(queue, [1]);
    void consumer.run(gates.handler);
    const stopped = consumer.shutdown({ timeout: Number.POSITIVE_INFINITY });
    expect(clock.timers).toBe(0);
    clock.advance(10 ** 12);
    expect([gates.aborted, await stateOf(stopped)]).toEqual([[false], 'pending']);
    gates.finish[0]?.();
    await stopped;
    expect(queue.unfinished).toBe(0);
  });

  it('accepts a `timeout` that exceeds the maximum of a timer', async () => {
    const { clock, queue, consumer } = setUp();
    const gates = new Gates();
    void publishAll(queue, [1]);
    void consumer.run(gates.handler);
    const stopped = consumer.shutdown({ timeout: 2 ** 33 });
    clock.advance(2 ** 33 - 1);
    expect(gates.aborted).toEqual([false]);
    clock.advance(1);
    expect(gates.aborted).toEqual([true]);
    await stopped;
    expect(clock.timers).toBe(0);
  });

  it.each([
    ['timeout', 'RangeError', { timeout: -1 }],
    ['timeout', 'RangeError', { timeout: Number.NaN }],
    ['timeout', 'RangeError', { timeout: Number.NEGATIVE_INFINITY }],
    ['timeout', 'TypeError', { timeout: '5' }],
    ['timeout', 'TypeError', { timeout: null }],
    ['options', 'TypeError', null],
    ['options', 'TypeError', 5000],
  ])('rejects for an invalid `%s` with a %s and stops nothing: %p', async (option, name, options) => {
    const { queue, consumer } = setUp();
    const expected = { name, message: expect.stringContaining(option) };
    expect(await rejectionOf(consumer.shutdown(options as object))).toMatchObject(expected);
    const running = consumer.run(() => {});
    expect(await rejectionOf(consumer.shutdown(options as object))).toMatchObject(expected);
    await queue.publish('key', {});
    expect([queue.unfinished, await stateOf(running)]).toEqual([0, 'pending']);
  });

  it('may be called twice and after the end', async () => {
    const { clock, queue, consumer, statuses } = setUp();
    const gates = new Gates();
    void publishAll(queue, upTo(2));
    const running = consumer.run(gates.handler);
    const stopped = [consumer.shutdown(), consumer.shutdown()];
    gates.finish[0]?.();
    await Promise.all([running, ...stopped]);
    await consumer.shutdown();
    await consumer.shutdown({ timeout: 0 });
    expect(statuses().toSorted()).toEqual([
      [1, 'acked'],
      [2, 'released'],
    ]);
    expect(clock.timers).toBe(0);
  });

  it.each([
    [50, Number.POSITIVE_INFINITY],
    [Number.POSITIVE_INFINITY, 50],
    [5000, 50],
    [50, 5000],
  ])('applies the shortest timeout of concurrent calls: %p and %p', async (one, other) => {
    const { clock, queue, consumer } = setUp();
    const gates = new Gates();
    void publishAll(queue, [1]);
    const running = consumer.run(gates.handler);
    const stopped = [one, other].map((timeout) => consumer.shutdown({ timeout }));
    clock.advance(49);
    expect(gates.aborted).toEqual([false]);
    clock.advance(1);
    await Promise.all([running, ...stopped]);
    expect(gates.aborted).toEqual([true]);
    expect(clock.timers).toBe(0);
  });

  it('does not apply the timeout of one run to the next', async () => {
    const { clock, queue, consumer } = setUp();
    const gates = new Gates();
    void publishAll(queue, [1]);
    void consumer.run(gates.handler);
    const stopped = consumer.shutdown({ timeout: 100 });
    gates.finish[0]?.();
    await stopped;
    const running = consumer.run(gates.handler);
    void publishAll(queue, [2]);
    clock.advance(1000);
    expect([gates.aborted, await stateOf(running)]).toEqual([[false, false], 'pending']);
  });
});

describe('AsyncLoopConsumer.shutdown while run() is starting', () => {
  it('ends a run of the same tick', async () => {
    const { queue, consumer } = setUp();
    const handled: number[] = [];
    void publishAll(queue, upTo(3));
    const running = consumer.run(async (payload) => void handled.push(numberOf(payload)));
    await Promise.all([consumer.shutdown(), running]);
    expect(attempts(queue)).toEqual(
      upTo(3)
        .filter((n) => !handled.includes(n))
        .map((n) => [n, 1]),
    );
  });

  it('ends a run whose backend has not connected yet, and takes no message later', async () => {
    const clock = new VirtualClock();
    const { scheduler } = clock;
    const queue = new ChangedQueue({ scheduler }, (stream) => timer(100, scheduler).pipe(switchMap(() => stream)));
    const consumer = new AsyncLoopConsumer(queue, { scheduler });
    const handler = jest.fn();
    void publishAll(queue, [1]);
    const running = consumer.run(handler);
    clock.advance(50);
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    await running;
    expect(clock.timers).toBe(0);
    clock.advance(1000);
    expect([handler.mock.calls.length, queue.size, queue.inFlight]).toEqual([0, 1, 0]);
    // The same consumer works if it has the time to connect.
    void consumer.run(handler);
    clock.advance(100);
    expect(handler).toHaveBeenCalledTimes(1);
  });
});

describe('AsyncLoopConsumer.shutdown inside a handler that does not await it', () => {
  it.each([
    ['in a synchronous handler, within run()', 'before', false],
    ['in a synchronous handler', 'after', false],
    ['in an asynchronous handler, within run()', 'before', true],
    ['in an asynchronous handler', 'after', true],
  ])('finishes this handler and requeues the rest: %s', async (_, published, asynchronous) => {
    const { queue, consumer, statuses } = setUp({ concurrency: 1 });
    const stopped: Promise<void>[] = [];
    if (published === 'before') void publishAll(queue, upTo(3));
    const running = consumer.run((payload) => {
      if (numberOf(payload) < 2) return undefined;
      stopped.push(consumer.shutdown());
      return asynchronous ? turns(2) : undefined;
    });
    if (published === 'after') void publishAll(queue, upTo(3));
    await running;
    await Promise.all(stopped);
    expect(stopped).toHaveLength(1);
    expect(statuses().filter(([, status]) => status === 'acked')).toEqual([
      [1, 'acked'],
      [2, 'acked'],
    ]);
    expect(attempts(queue)).toEqual([[3, 1]]);
  });

  it('with a `timeout` of 0 aborts only the other handlers if this one ends', async () => {
    const { clock, queue, consumer } = setUp({ concurrency: 2 });
    void publishAll(queue, upTo(2));
    const running = consumer.run((payload) => {
      if (numberOf(payload) === 1) return never();
      void consumer.shutdown({ timeout: 0 });
      return undefined;
    });
    clock.advance();
    await running;
    expect(attempts(queue)).toEqual([[1, 1]]);
  });
});
