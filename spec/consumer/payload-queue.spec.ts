import {
  AsyncLoopConsumer,
  type AsyncLoopConsumerOptions,
  type ConsumeOptions,
  MemoryBackend,
  type Outcome,
} from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, turns, until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const publish = async () => {};
const payloads = (count: number) => upTo(count).map((n) => ({ n }));

/** Minimal queues with only `publish` and `consume`, as in a test of an application. */
const FAKES = {
  'an async generator': (count: number) => ({
    publish,
    async *consume() {
      yield* payloads(count);
    },
  }),
  'an iterator without `return`': (count: number) => ({
    publish,
    consume() {
      const waiting = payloads(count);
      const iterator: AsyncIterableIterator<object> = {
        next: async () =>
          waiting.length > 0 ? { done: false, value: waiting.shift() as object } : { done: true, value: undefined },
        [Symbol.asyncIterator]: () => iterator,
      };
      return iterator;
    },
  }),
  'the consume() of a MemoryBackend': (count: number) => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(count));
    void queue.close();
    return { publish, consume: (options?: ConsumeOptions) => queue.consume(options) };
  },
};

/** A queue that never has a message and ignores its signal. */
function stuck() {
  const returned = jest.fn(async () => ({ done: true as const, value: undefined }));
  const iterator: AsyncIterableIterator<object> = {
    next: () => new Promise(() => {}),
    return: returned,
    [Symbol.asyncIterator]: () => iterator,
  };
  return { returned, queue: { publish, consume: () => iterator } };
}

function setUp(queue: ConstructorParameters<typeof AsyncLoopConsumer>[0], options: AsyncLoopConsumerOptions = {}) {
  const logger = recordingLogger();
  const consumer = new AsyncLoopConsumer(queue, { logger, ...options });
  const outcomes: Outcome[] = [];
  consumer.outcomes$.subscribe((outcome) => outcomes.push(outcome));
  return {
    logger,
    consumer,
    statuses: () => outcomes.map(({ delivery, status }) => [numberOf(delivery.payload), status]),
  };
}

describe.each(Object.entries(FAKES))('AsyncLoopConsumer on %s', (_, make) => {
  it('handles every message once and in order, resolves at the end and warns that there are no retries', async () => {
    const { consumer, logger, statuses } = setUp(make(20));
    const handled: number[] = [];
    await consumer.run(async (payload, delivery) => {
      handled.push(numberOf(payload));
      expect(delivery).toMatchObject({ attempt: 1, payload, settled: false });
      await turns(1);
    });
    expect(handled).toEqual(upTo(20));
    expect(statuses()).toEqual(upTo(20).map((n) => [n, 'acked']));
    expect([logger.warnings, logger.errors]).toEqual([[expect.stringMatching(/without retries/)], []]);
  });

  it.each([1, 3, 50])('runs as many handlers at a time as `concurrency`: %p', async (concurrency) => {
    const { consumer } = setUp(make(20), { concurrency });
    let running = 0;
    let most = 0;
    await consumer.run(async () => {
      most = Math.max(most, ++running);
      await turns(5);
      running--;
    });
    expect(most).toBe(Math.min(concurrency, 20));
  });

  it('logs a failing handler, does not retry and continues', async () => {
    const { consumer, logger, statuses } = setUp(make(3), { retry: { count: 5, delay: 0 } });
    const handler = jest.fn((payload: object) => {
      if (numberOf(payload) === 2) throw new Error('no funds');
    });
    await consumer.run(handler);
    expect(handler).toHaveBeenCalledTimes(3);
    expect(statuses()).toEqual([
      [1, 'acked'],
      [2, 'rejected'],
      [3, 'acked'],
    ]);
    expect(logger.errors).toEqual([expect.stringContaining('no funds')]);
  });

  it('calls the dead letter function for failed messages', async () => {
    const deadLetter = jest.fn(async () => {});
    const failure = new Error('no');
    const { consumer, statuses } = setUp(make(2), { deadLetter });
    await consumer.run(() => Promise.reject(failure));
    expect(deadLetter.mock.calls).toEqual(
      upTo(2).map((n) => [expect.objectContaining({ payload: { n } }), failure, expect.anything()]),
    );
    expect(statuses()).toEqual(upTo(2).map((n) => [n, 'dead-lettered']));
  });

  it('finishes the running handler in a shutdown and takes no more messages', async () => {
    const { consumer, statuses } = setUp(make(20));
    let finish = () => {};
    const running = consumer.run(() => new Promise<void>((resolve) => (finish = resolve)));
    await turns();
    const stopped = consumer.shutdown();
    expect([await stateOf(running), await stateOf(stopped)]).toEqual(['pending', 'pending']);
    finish();
    await Promise.all([running, stopped]);
    expect(statuses()).toEqual([[1, 'acked']]);
  });

  it('aborts the signal of a handler after the timeout of the shutdown', async () => {
    const clock = new VirtualClock();
    const { consumer } = setUp(make(3), { scheduler: clock.scheduler });
    const signals: AbortSignal[] = [];
    const running = consumer.run((_payload, _delivery, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    await turns();
    const stopped = consumer.shutdown({ timeout: 10 });
    clock.advance(10);
    await Promise.all([running, stopped]);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });
});

describe('AsyncLoopConsumer on a queue with only publish and consume', () => {
  it('keeps the order within each value of `orderBy`', async () => {
    const { consumer } = setUp(FAKES['an async generator'](20), {
      concurrency: 4,
      orderBy: ({ payload }) => numberOf(payload) % 2,
    });
    const ended: number[] = [];
    await consumer.run(async (payload) => {
      await turns(1 + (numberOf(payload) % 3));
      ended.push(numberOf(payload));
    });
    for (const parity of [0, 1])
      expect(ended.filter((n) => n % 2 === parity)).toEqual(upTo(20).filter((n) => n % 2 === parity));
    expect(ended).toHaveLength(20);
  });

  it('does not request a message before it can be handled', async () => {
    let asked = 0;
    const queue = {
      publish,
      consume: async function* () {
        for (;;) yield { n: ++asked };
      },
    };
    const { consumer } = setUp(queue, { concurrency: 3 });
    void consumer.run(() => new Promise(() => {}));
    await turns(10);
    expect(asked).toBe(3);
  });

  it('passes its group and a signal that aborts at the shutdown', async () => {
    const { queue } = stuck();
    const consume = jest.fn<AsyncIterableIterator<object>, [ConsumeOptions?]>(queue.consume);
    const { consumer } = setUp({ publish, consume }, { group: 'billing' });
    const running = consumer.run(() => {});
    const [options] = consume.mock.calls[0] as [ConsumeOptions];
    expect(options).toMatchObject({ group: 'billing', signal: expect.any(AbortSignal) });
    expect(options.signal?.aborted).toBe(false);
    await consumer.shutdown();
    await running;
    expect(options.signal?.aborted).toBe(true);
  });

  it('shuts down immediately while next() is pending, and calls return()', async () => {
    const { queue, returned } = stuck();
    const { consumer } = setUp(queue);
    const running = consumer.run(() => {});
    await turns();
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    expect(await stateOf(running)).toBe('fulfilled');
    expect(returned).toHaveBeenCalledTimes(1);
  });

  it('shuts down immediately if the iterator is a generator that waits forever', async () => {
    const queue = {
      publish,
      consume: async function* () {
        await new Promise(() => {});
        yield { n: 1 };
      },
    };
    const { consumer } = setUp(queue);
    const running = consumer.run(() => {});
    expect(await outcomeOf(consumer.shutdown())).toMatchObject({ state: 'fulfilled' });
    expect(await stateOf(running)).toBe('fulfilled');
  });

  it('is stopped by its `signal`, too', async () => {
    const controller = new AbortController();
    const { queue, returned } = stuck();
    const { consumer } = setUp(queue, { signal: controller.signal });
    const running = consumer.run(() => {});
    controller.abort();
    expect(await stateOf(running)).toBe('fulfilled');
    expect(returned).toHaveBeenCalledTimes(1);
  });

  it.each<[string, () => AsyncIterableIterator<object>]>([
    [
      'consume() throws',
      () => {
        throw new Error('no such queue');
      },
    ],
    [
      'next() rejects',
      async function* () {
        yield* payloads(1);
        throw new Error('no such queue');
      },
    ],
  ])('rejects if %s', async (_, consume) => {
    const { consumer } = setUp({ publish, consume });
    expect(await rejectionOf(consumer.run(() => {}))).toMatchObject({ message: 'no such queue' });
  });

  it('can run again after a shutdown and continues where it stopped', async () => {
    const memory = new MemoryBackend();
    const { consumer } = setUp({ publish, consume: (options?: ConsumeOptions) => memory.consume(options) });
    void publishAll(memory, upTo(4));
    const handled: number[] = [];
    for (const last of [2, 4]) {
      await consumer.run(async (payload) => {
        handled.push(numberOf(payload));
        if (numberOf(payload) === last) void consumer.shutdown();
      });
    }
    expect(handled).toEqual(upTo(4));
    expect(memory.unfinished).toBe(0);
  });

  it('leaves a message unfinished in the queue until its handler has ended', async () => {
    const memory = new MemoryBackend();
    const consumer = new AsyncLoopConsumer(
      { publish, consume: (options) => memory.consume(options) },
      { logger: silentLogger },
    );
    void publishAll(memory, [1]);
    let finish: (() => void) | undefined;
    void consumer.run(() => new Promise<void>((resolve) => (finish = resolve)));
    await until(() => finish !== undefined);
    expect(memory.unfinished).toBe(1);
    finish?.();
    await memory.join();
    await consumer.shutdown();
  });

  it('accepts an iterator whose next() returns a result without a promise', async () => {
    const waiting = payloads(3);
    const iterator = {
      next: () => (waiting.length > 0 ? { done: false, value: waiting.shift() } : { done: true, value: undefined }),
      [Symbol.asyncIterator]: () => iterator,
    } as unknown as AsyncIterableIterator<object>;
    const { consumer, statuses } = setUp({ publish, consume: () => iterator });
    await consumer.run(() => {});
    expect(statuses()).toEqual(upTo(3).map((n) => [n, 'acked']));
  });

  it('rejects if next() throws', async () => {
    const iterator = {
      next: () => {
        throw new Error('no such queue');
      },
      [Symbol.asyncIterator]: () => iterator,
    } as unknown as AsyncIterableIterator<object>;
    const { consumer } = setUp({ publish, consume: () => iterator });
    expect(await rejectionOf(consumer.run(() => {}))).toMatchObject({ message: 'no such queue' });
  });

  it('warns that a message is lost if its handler exceeds the timeout of a shutdown', async () => {
    const clock = new VirtualClock();
    const { consumer, logger, statuses } = setUp(FAKES['an async generator'](3), { scheduler: clock.scheduler });
    const running = consumer.run(() => new Promise(() => {}));
    await turns();
    const stopped = consumer.shutdown({ timeout: 10 });
    clock.advance(10);
    await Promise.all([running, stopped]);
    expect(statuses()).toEqual([[1, 'released']]);
    expect(logger.warnings).toEqual([expect.stringContaining('without retries'), expect.stringContaining('lost')]);
  });

  it('warns that a message is lost if it arrives after the shutdown, and does not handle it', async () => {
    let answer: (payload: object) => void = () => {};
    const iterator: AsyncIterableIterator<object> = {
      next: () => new Promise((resolve) => (answer = (value) => resolve({ done: false, value }))),
      [Symbol.asyncIterator]: () => iterator,
    };
    const { consumer, logger } = setUp({ publish, consume: () => iterator });
    const handler = jest.fn();
    const running = consumer.run(handler);
    await consumer.shutdown();
    await running;
    answer({ n: 1, secret: 'card' });
    await turns();
    expect(handler).not.toHaveBeenCalled();
    expect(logger.warnings).toEqual([expect.stringContaining('without retries'), expect.stringContaining('lost')]);
    expect(logger.warnings.join()).not.toContain('card');
  });
});

describe('AsyncLoopConsumer on an iterator whose return() fails', () => {
  it('stops and logs the error', async () => {
    const logger = recordingLogger();
    const waiting = new Promise<never>(() => {});
    const queue = {
      async publish() {},
      consume: () => ({
        next: () => waiting,
        return: async () => {
          throw new Error('connection lost');
        },
        [Symbol.asyncIterator]() {
          return this;
        },
      }),
    };
    const consumer = new AsyncLoopConsumer(queue, { logger });
    const running = consumer.run(() => {});
    await consumer.shutdown();
    await running;
    await turns();
    expect(logger.errors).toEqual([expect.stringContaining('connection lost')]);
  });
});
