import {
  AsyncLoopConsumer,
  type AsyncLoopConsumerOptions,
  type Delivery,
  HandlerTimeoutError,
  MemoryBackend,
  type Outcome,
} from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, stateOf, thrownBy, turns, until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const never = () => new Promise<void>(() => {});

function setUp(options: AsyncLoopConsumerOptions = {}) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const logger = recordingLogger();
  const queue = new MemoryBackend({ name: 'orders', scheduler, logger: silentLogger });
  const outcomes: Outcome[] = [];
  const onOutcome = (outcome: Outcome) => void outcomes.push(outcome);
  const consumer = new AsyncLoopConsumer(queue, { scheduler, logger, onOutcome, ...options });
  return { clock, logger, queue, consumer, outcomes, statuses: () => outcomes.map(({ status }) => status) };
}

describe('AsyncLoopConsumer', () => {
  it('passes the payload, the delivery and a signal to its handler', async () => {
    const { queue, consumer } = setUp();
    await queue.publish('orders.created', { n: 7 }, { headers: { trace: 'x' } });
    const handler = jest.fn();
    void consumer.run(handler);
    expect(handler.mock.calls).toEqual([
      [
        { n: 7 },
        expect.objectContaining({ key: 'orders.created', payload: { n: 7 }, headers: { trace: 'x' }, attempt: 1 }),
        expect.anything(),
      ],
    ]);
    const [payload, delivery, context] = handler.mock.calls[0];
    expect(payload).toBe(delivery.payload);
    expect(context.signal).toBeInstanceOf(AbortSignal);
    expect(context.signal.aborted).toBe(false);
    expect(queue.unfinished).toBe(0);
  });

  it('acknowledges a message after its handler, not before', async () => {
    const { queue, consumer, statuses } = setUp();
    void publishAll(queue, [1]);
    let finish = () => {};
    void consumer.run(() => new Promise<void>((resolve) => (finish = resolve)));
    await turns();
    expect([queue.unfinished, statuses()]).toEqual([1, []]);
    finish();
    await queue.join();
    expect(statuses()).toEqual(['acked']);
  });

  it.each([undefined, 1, 3])('runs as many handlers at a time as `concurrency`: %p', async (concurrency) => {
    const { queue, consumer } = setUp({ concurrency });
    let running = 0;
    let most = 0;
    void publishAll(queue, upTo(10));
    void consumer.run(async () => {
      most = Math.max(most, ++running);
      await turns(1);
      running--;
    });
    await queue.join();
    expect(most).toBe(concurrency ?? 1);
  });

  it.each([
    ['the default', {}, 2],
    ['the default with a concurrency', { concurrency: 50 }, 51],
    ["'auto'", { prefetch: 'auto', concurrency: 3 }, 4],
    ['a given number', { prefetch: 5 }, 5],
    ['a given number with a concurrency', { prefetch: 100, concurrency: 40 }, 100],
  ] satisfies [string, AsyncLoopConsumerOptions, number][])(
    'has at most `prefetch` deliveries in flight: %s',
    (_, options, expected) => {
      const { queue, consumer, logger } = setUp(options);
      void publishAll(queue, upTo(200));
      void consumer.run(never);
      expect(queue.inFlight).toBe(expected);
      expect(logger.warnings).toEqual([]);
    },
  );

  it('warns if `prefetch` is less than `concurrency`', () => {
    const { queue, consumer, logger } = setUp({ prefetch: 2, concurrency: 3 });
    void publishAll(queue, upTo(5));
    const handler = jest.fn(never);
    void consumer.run(handler);
    expect(logger.warnings).toEqual([expect.stringMatching(/prefetch.*2.*concurrency.*3/)]);
    expect(handler).toHaveBeenCalledTimes(2);
  });

  it('consumes for its `group`', async () => {
    const queue = new MemoryBackend({ groups: ['billing', 'audit'], logger: silentLogger });
    void publishAll(queue, upTo(2));
    const got: number[] = [];
    void new AsyncLoopConsumer(queue, { group: 'audit' }).run((payload) => void got.push(numberOf(payload)));
    expect(got).toEqual([1, 2]);
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 2, unfinished: 2 });
  });

  it('keeps the order within each value of `orderBy` and handles others in parallel', async () => {
    const { queue, consumer } = setUp({ concurrency: 4, orderBy: ({ payload }) => numberOf(payload) % 2 });
    const started: number[] = [];
    const finish = new Map<number, () => void>();
    void publishAll(queue, upTo(4));
    void consumer.run((payload) => {
      started.push(numberOf(payload));
      return new Promise<void>((resolve) => finish.set(numberOf(payload), resolve));
    });
    await turns();
    expect(started).toEqual([1, 2]);
    finish.get(2)?.();
    await until(() => started.length === 3);
    expect(started).toEqual([1, 2, 4]);
  });

  it('keeps the order within a key', async () => {
    const { queue, consumer } = setUp({ concurrency: 4, orderBy: 'key' });
    for (const [n, key] of ['a', 'a', 'b'].entries()) void queue.publish(key, { n });
    const started: number[] = [];
    void consumer.run((payload) => {
      started.push(numberOf(payload));
      return never();
    });
    await turns();
    expect(started).toEqual([0, 2]);
  });

  it('aborts the signal of a handler after `timeout` and retries its message', async () => {
    const { clock, queue, consumer, outcomes } = setUp({ timeout: 100, retry: { delay: 50 } });
    void publishAll(queue, [1]);
    const signals: AbortSignal[] = [];
    void consumer.run((_payload, delivery, { signal }) => {
      signals.push(signal);
      return delivery.attempt === 1 ? never() : undefined;
    });
    clock.advance(99);
    expect([signals[0]?.aborted, outcomes.length]).toEqual([false, 0]);
    clock.advance(1);
    expect(signals[0]?.aborted).toBe(true);
    expect(outcomes).toEqual([
      expect.objectContaining({ status: 'retried', duration: 100, error: expect.any(HandlerTimeoutError) }),
    ]);
    clock.advance(50);
    expect(outcomes[1]).toMatchObject({ status: 'acked', delivery: { attempt: 2 } });
    expect([signals[1]?.aborted, clock.timers]).toEqual([false, 0]);
  });

  it('retries as often and after as long as `retry`', () => {
    const delay = jest.fn((_error: unknown, retryCount: number, _delivery: Delivery) => retryCount * 10);
    const { clock, queue, consumer, statuses } = setUp({ retry: { count: 2, delay } });
    void publishAll(queue, [1]);
    const times: number[] = [];
    const error = new Error('no');
    void consumer.run(() => {
      times.push(clock.scheduler.now());
      throw error;
    });
    clock.advance(1000);
    expect(times).toEqual([0, 10, 30]);
    expect(delay.mock.calls).toEqual([
      [error, 1, expect.objectContaining({ payload: { n: 1 }, attempt: 1 })],
      [error, 2, expect.objectContaining({ payload: { n: 1 }, attempt: 2 })],
    ]);
    expect(statuses()).toEqual(['retried', 'retried', 'rejected']);
    expect(queue.unfinished).toBe(0);
  });

  it('retries three times by default with a doubling delay, then rejects and logs an error', () => {
    const { clock, queue, consumer, statuses, logger } = setUp();
    void queue.publish('orders.created', { card: '4242' });
    const times: number[] = [];
    void consumer.run(() => {
      times.push(clock.scheduler.now());
      throw new Error('no funds');
    });
    clock.advance(10_000);
    const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    for (const [index, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(800 * 2 ** index);
      expect(wait).toBeLessThanOrEqual(1000 * 2 ** index);
    }
    expect(statuses()).toEqual(['retried', 'retried', 'retried', 'rejected']);
    expect([logger.warnings.length, logger.errors.length]).toEqual([3, 1]);
    for (const line of [...logger.warnings, ...logger.errors]) {
      expect(line).toContain('orders.created');
      expect(line).toContain('no funds');
      expect(line).toMatch(/attempt \d/);
      expect(line).not.toContain('4242');
    }
  });

  it.each([
    [1, [1, 2], ['acked', 'acked']],
    [2, [2], ['rejected', 'acked']],
  ])('gives up a message past the `deliveryLimit` without handling it: after %p crashes', (crashes, runs, statuses) => {
    const { queue, consumer, outcomes } = setUp({ retry: { count: 1 }, deliveryLimit: 2 });
    void publishAll(queue, upTo(2));
    for (let crash = 0; crash < crashes; crash++) new Holder(queue, { prefetch: 1 }).subscription.unsubscribe();
    const handled: number[] = [];
    void consumer.run((payload) => void handled.push(numberOf(payload)));
    expect(handled).toEqual(runs);
    expect(outcomes.map(({ status, duration }) => [status, duration])).toEqual(statuses.map((status) => [status, 0]));
    for (const { error } of outcomes.filter(({ status }) => status === 'rejected'))
      expect(String(error)).toContain('deliveryLimit');
  });

  it('publishes failed messages to the `deadLetter` queue with the error', async () => {
    const deadLetter = new MemoryBackend();
    const { queue, consumer, statuses } = setUp({ retry: { count: 0 }, deadLetter });
    await queue.publish('orders.created', { n: 1 }, { headers: { trace: 'x' } });
    void consumer.run(() => Promise.reject(new Error('no funds')));
    await queue.join();
    expect(statuses()).toEqual(['dead-lettered']);
    const [letter] = new Holder(deadLetter).deliveries;
    expect(letter).toMatchObject({ key: 'orders.created', payload: { n: 1 } });
    expect(letter?.headers).toEqual({
      trace: 'x',
      'sluice-error': expect.stringContaining('no funds'),
      'sluice-attempts': '1',
      'sluice-queue': 'orders',
      'sluice-group': 'default',
    });
  });

  it.each([
    [undefined, 'default'],
    ['billing', 'billing'],
  ])('adds its group %p to a dead letter even if the backend does not provide it', async (group, expected) => {
    const deadLetter = new MemoryBackend();
    const third = fakeBackend([['orders.created', { n: 1 }]]);
    const consumer = new AsyncLoopConsumer(third, { group, retry: { count: 0 }, deadLetter, logger: silentLogger });
    await consumer.run(() => Promise.reject(new Error('no funds')));
    expect(new Holder(deadLetter).deliveries.map(({ headers }) => headers['sluice-group'])).toEqual([expected]);
  });

  it('calls a `deadLetter` function with the delivery, the error and a signal', async () => {
    const deadLetter = jest.fn(async () => {});
    const { queue, consumer } = setUp({ retry: { count: 0 }, deadLetter });
    void publishAll(queue, [1]);
    const error = new Error('no');
    void consumer.run(() => {
      throw error;
    });
    await queue.join();
    expect(deadLetter.mock.calls).toEqual([[expect.objectContaining({ payload: { n: 1 } }), error, expect.anything()]]);
  });

  it('stops when its `signal` aborts: running handlers finish, the rest is requeued', async () => {
    const controller = new AbortController();
    const { queue, consumer, statuses } = setUp({ signal: controller.signal });
    void publishAll(queue, upTo(3));
    let finish = () => {};
    const running = consumer.run(() => new Promise<void>((resolve) => (finish = resolve)));
    controller.abort();
    expect(await stateOf(running)).toBe('pending');
    finish();
    await running;
    expect(statuses().toSorted()).toEqual(['acked', 'released', 'released']);
    expect(new Holder(queue).attempts).toEqual([
      [2, 1],
      [3, 1],
    ]);
  });

  it('handles nothing and resolves if its `signal` is already aborted', async () => {
    const { queue, consumer } = setUp({ signal: AbortSignal.abort() });
    void publishAll(queue, [1]);
    const handler = jest.fn();
    await consumer.run(handler);
    await consumer.run(handler);
    expect(handler).not.toHaveBeenCalled();
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
  });

  it('logs errors of `onOutcome` and continues', async () => {
    const { queue, consumer, logger } = setUp({
      onOutcome: () => {
        throw new Error('no metrics');
      },
    });
    void publishAll(queue, upTo(3));
    void consumer.run(() => {});
    expect(await outcomeOf(queue.join())).toMatchObject({ state: 'fulfilled' });
    expect(logger.errors).toHaveLength(3);
    expect(logger.errors[0]).toContain('no metrics');
  });
});

describe('The constructor of AsyncLoopConsumer throws', () => {
  const BAD: [option: string, error: 'TypeError' | 'RangeError', options: unknown][] = [
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY].flatMap((count): typeof BAD => [
      ['prefetch', 'RangeError', { prefetch: count }],
      ['concurrency', 'RangeError', { concurrency: count }],
    ]),
    ['prefetch', 'TypeError', { prefetch: '5' }],
    ['prefetch', 'TypeError', { prefetch: null }],
    ['concurrency', 'TypeError', { concurrency: '5' }],
    ['group', 'RangeError', { group: '' }],
    ['group', 'TypeError', { group: 5 }],
    ['orderBy', 'RangeError', { orderBy: 'id' }],
    ['timeout', 'RangeError', { timeout: 0 }],
    ['timeout', 'RangeError', { timeout: Number.POSITIVE_INFINITY }],
    ['retry', 'TypeError', { retry: 3 }],
    ['count', 'RangeError', { retry: { count: -1 } }],
    ['delay', 'RangeError', { retry: { delay: -1 } }],
    ['deliveryLimit', 'RangeError', { deliveryLimit: 3 }],
    ['deadLetter', 'TypeError', { deadLetter: {} }],
    ['signal', 'TypeError', { signal: {} }],
    ['onOutcome', 'TypeError', { onOutcome: 1 }],
    ['scheduler', 'TypeError', { scheduler: {} }],
    ['logger', 'TypeError', { logger: {} }],
    ['options', 'TypeError', null],
    ['options', 'TypeError', 'billing'],
  ];

  it.each(BAD)('for %s, a %s: %p', (option, name, options) => {
    const error = thrownBy(() => new AsyncLoopConsumer(new MemoryBackend(), options as AsyncLoopConsumerOptions));
    expect(error).toMatchObject({ name, message: expect.stringContaining(option) });
  });

  it.each([undefined, null, {}, 'orders', { publish() {} }])('for an invalid queue: %p', (queue) => {
    const error = thrownBy(() => new AsyncLoopConsumer(queue as unknown as MemoryBackend));
    expect(error).toMatchObject({ name: 'TypeError', message: expect.stringContaining('queue') });
  });
});
