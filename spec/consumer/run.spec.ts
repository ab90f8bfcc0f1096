import { concat, defer, finalize, Observable, of, Subject, throwError } from 'rxjs';
import { AsyncLoopConsumer, type Delivery, type DeliveryStream, type EventHandler, MemoryBackend } from 'sluice';
import { ChangedQueue } from '../support/changed-queue.js';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const never = () => new Promise<void>(() => {});

const changed = (change: (stream: DeliveryStream) => Observable<Delivery>) =>
  new ChangedQueue({ logger: silentLogger }, change);

function setUp(queue = new MemoryBackend({ logger: silentLogger })) {
  const logger = recordingLogger();
  return { queue, logger, consumer: new AsyncLoopConsumer(queue, { logger, retry: { count: 0 } }) };
}

describe('AsyncLoopConsumer.run', () => {
  it('takes no message before it is called', async () => {
    const { queue } = setUp();
    void publishAll(queue, [1]);
    await turns();
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it('keeps running while the queue is empty', async () => {
    const { queue, consumer } = setUp();
    const handler = jest.fn();
    const running = consumer.run(handler);
    expect(await stateOf(running)).toBe('pending');
    await queue.publish('key', {});
    expect(handler).toHaveBeenCalledTimes(1);
    expect(await stateOf(running)).toBe('pending');
  });

  it('resolves with undefined after a shutdown', async () => {
    const { consumer } = setUp();
    const running = consumer.run(() => {});
    await consumer.shutdown();
    expect(await outcomeOf(running)).toEqual({ state: 'fulfilled', value: undefined });
  });

  it('resolves after the last handler when the queue is closed and drained', async () => {
    const { queue, consumer } = setUp();
    void publishAll(queue, upTo(3));
    const finish: (() => void)[] = [];
    const running = consumer.run(() => new Promise<void>((resolve) => finish.push(resolve)));
    await queue.close();
    for (const n of upTo(3)) {
      expect([finish.length, await stateOf(running)]).toEqual([n, 'pending']);
      finish.at(-1)?.();
      await turns();
    }
    await running;
    expect(queue.unfinished).toBe(0);
  });

  it('resolves immediately on a closed and empty queue', async () => {
    const { queue, consumer } = setUp();
    await queue.close();
    await consumer.run(() => {});
    await consumer.run(() => {});
  });

  it('rejects when the stream fails, once the running handlers have finished', async () => {
    const failing = new Subject<Delivery>();
    const queue = changed(
      (stream) => new Observable((subscriber) => stream.subscribe(subscriber).add(failing.subscribe(subscriber))),
    );
    const { consumer, logger } = setUp(queue);
    void publishAll(queue, upTo(3));
    let finish = () => {};
    const running = consumer.run(() => new Promise<void>((resolve) => (finish = resolve)));
    running.catch(() => {});
    failing.error(new Error('connection refused'));
    expect(await stateOf(running)).toBe('pending');
    finish();
    expect(await rejectionOf(running)).toMatchObject({ message: 'connection refused' });
    expect(logger.errors).toEqual([expect.stringContaining('connection refused')]);
    // Messages that were not started are requeued.
    expect(new Holder(queue).numbers).toEqual(expect.arrayContaining([2, 3]));
    await consumer.shutdown();
  });

  it('rejects if deliveries() throws or fails immediately, and can be called again', async () => {
    const error = new Error('no such group');
    let fails = 0;
    const queue = changed((stream) => {
      if (fails++ === 0) throw error;
      return fails === 2 ? throwError(() => error) : stream;
    });
    const { consumer } = setUp(queue);
    expect(await rejectionOf(consumer.run(() => {}))).toBe(error);
    expect(await rejectionOf(consumer.run(() => {}))).toBe(error);
    const handler = jest.fn();
    void consumer.run(handler);
    await queue.publish('key', {});
    expect(handler).toHaveBeenCalledTimes(1);
  });

  it('unsubscribes from the source when it ends', async () => {
    let left = 0;
    const { consumer } = setUp(changed((stream) => stream.pipe(finalize(() => left++))));
    const running = consumer.run(() => {});
    expect(left).toBe(0);
    await consumer.shutdown();
    await running;
    expect(left).toBe(1);
  });

  it.each<[string, EventHandler]>([
    ['throws', () => thrown()],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['rejects with nothing', () => Promise.reject()],
    ['throws nothing', () => thrown(undefined)],
    [
      'emits, then errors',
      () =>
        concat(
          of(1, 2),
          throwError(() => new Error('no')),
        ),
    ],
    ['errors over an Observable that cannot be made', () => defer(() => thrown())],
    ['throws in the middle of an async iterable', () => values()],
  ])('continues after a handler that %s', async (_, handler) => {
    const { queue, consumer, logger } = setUp();
    void publishAll(queue, upTo(3));
    const handled: number[] = [];
    const running = consumer.run((payload, delivery, context) => {
      handled.push(numberOf(payload));
      return numberOf(payload) === 2 ? undefined : handler(payload, delivery, context);
    });
    await queue.join();
    expect(handled).toEqual([1, 2, 3]);
    expect(await stateOf(running)).toBe('pending');
    expect(logger.errors).toHaveLength(2);
  });

  it('waits for the end of an Observable, of an async iterable and of a thenable', async () => {
    const { queue, consumer } = setUp();
    const ends: (() => void)[] = [];
    const gate = () => new Promise<void>((resolve) => ends.push(resolve));
    const results = [
      () => defer(gate),
      async function* () {
        yield 1;
        await gate();
      },
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested.
      () => ({ then: (resolve: () => void) => ends.push(resolve) }),
    ];
    void publishAll(queue, upTo(3));
    void consumer.run((payload) => results[numberOf(payload) - 1]?.());
    for (const n of upTo(3)) {
      await turns();
      expect([ends.length, queue.unfinished]).toEqual([n, 4 - n]);
      ends.at(-1)?.();
    }
    await queue.join();
  });

  it('returns the same promise while it runs, whatever the second handler is', async () => {
    const { queue, consumer } = setUp();
    const [first, second] = [jest.fn(), jest.fn()];
    const running = consumer.run(first);
    expect(consumer.run(second)).toBe(running);
    void publishAll(queue, [1]);
    expect([first.mock.calls.length, second.mock.calls.length]).toEqual([1, 0]);
    void consumer.shutdown();
    await running;
  });

  it('returns the same promise inside its handler and during a shutdown', async () => {
    const { queue, consumer } = setUp();
    void publishAll(queue, [1]);
    const inner: Promise<void>[] = [];
    let finish = () => {};
    const running = consumer.run(() => {
      inner.push(consumer.run(() => {}));
      return new Promise<void>((resolve) => (finish = resolve));
    });
    expect(inner[0]).toBe(running);
    void consumer.shutdown();
    expect(consumer.run(() => {})).toBe(running);
    finish();
    await running;
  });

  it('runs again after the end with the new handler', async () => {
    const { queue, consumer } = setUp();
    const handlers = [jest.fn(), jest.fn(), jest.fn()];
    for (const [n, handler] of handlers.entries()) {
      const running = consumer.run(handler);
      await queue.publish('key', { n });
      await consumer.shutdown();
      await running;
    }
    expect(handlers.map(({ mock }) => mock.calls.map(([payload]) => payload))).toEqual([
      [{ n: 0 }],
      [{ n: 1 }],
      [{ n: 2 }],
    ]);
  });

  it.each([undefined, null, 'handler', {}])(
    'rejects with a TypeError for a handler that is not a function: %p',
    async (handler) => {
      const { queue, consumer } = setUp();
      void publishAll(queue, [1]);
      const error = await rejectionOf(consumer.run(handler as unknown as EventHandler));
      expect(error).toMatchObject({ name: 'TypeError', message: expect.stringContaining('handler') });
      expect(queue.size).toBe(1);
      // The refused call was not a run, so another one can begin.
      const good = jest.fn();
      void consumer.run(good);
      expect(good).toHaveBeenCalledTimes(1);
    },
  );

  it('never throws', () => {
    const { consumer } = setUp(
      changed(() => {
        throw new Error('no');
      }),
    );
    expect(() => consumer.run(() => {}).catch(() => {})).not.toThrow();
    expect(() => consumer.run(undefined as unknown as EventHandler).catch(() => {})).not.toThrow();
  });

  it('does not settle a delivery that its handler has settled', async () => {
    const { queue, consumer } = setUp();
    const statuses: string[] = [];
    consumer.outcomes$.subscribe(({ status }) => statuses.push(status));
    void publishAll(queue, upTo(3));
    void consumer.run(async (payload, delivery) => {
      if (numberOf(payload) === 1) await delivery.reject();
      else if (numberOf(payload) === 2 && delivery.attempt === 1) await delivery.nack();
      else await delivery.ack();
    });
    await queue.join();
    await turns();
    expect(statuses.toSorted()).toEqual(['acked', 'acked', 'rejected', 'retried']);
  });
});

describe('AsyncLoopConsumer.run with orderBy', () => {
  function setUpRetry(change: (stream: DeliveryStream) => Observable<Delivery>) {
    const clock = new VirtualClock();
    const { scheduler } = clock;
    const queue = new ChangedQueue({ scheduler, logger: silentLogger }, change);
    return {
      clock,
      queue,
      consumer: new AsyncLoopConsumer(queue, {
        scheduler,
        logger: silentLogger,
        orderBy: 'key',
        retry: { delay: 100 },
      }),
    };
  }

  it('keeps the order within each of a thousand short-lived keys and one long-lived key', async () => {
    const queue = new MemoryBackend();
    const consumer = new AsyncLoopConsumer(queue, { concurrency: 8, prefetch: 300, orderBy: 'key' });
    const keyOf = (n: number) => (n % 7 === 0 ? 'stays' : `key ${Math.floor(n / 40)}.${n % 11}`);
    for (const n of upTo(5000)) void queue.publish(keyOf(n), { n });
    const running = new Set<string>();
    const ended = new Map<string, number[]>();
    let overlaps = 0;
    void consumer.run(async (payload, { key }) => {
      if (running.has(key)) overlaps++;
      running.add(key);
      await turns(numberOf(payload) % 3);
      running.delete(key);
      ended.set(key, (ended.get(key) ?? []).concat(numberOf(payload)));
    });
    await queue.join();
    expect(ended.size).toBeGreaterThan(1000);
    const disordered = [...ended.values()].filter((numbers) =>
      numbers.some((n, index) => n <= (numbers[index - 1] ?? 0)),
    );
    expect([overlaps, disordered, [...ended.values()].flat().length]).toEqual([0, [], 5000]);
    await consumer.shutdown();
  });

  it('does not resolve before a retry although the source has ended', async () => {
    const settled = jest.fn(async () => true);
    const delivery = { key: 'k', payload: { n: 1 }, attempt: 1, settled: false, ack: settled } as unknown as Delivery;
    const { clock, consumer } = setUpRetry(() => of(delivery));
    const attempts: number[] = [];
    const running = consumer.run((_payload, { attempt }) => {
      attempts.push(attempt);
      if (attempt === 1) thrown();
    });
    expect(await stateOf(running)).toBe('pending');
    clock.advance(100);
    await running;
    expect([attempts, settled.mock.calls.length]).toEqual([[1, 2], 1]);
  });

  it('skips a retry if its delivery was settled meanwhile, and continues behind it', async () => {
    const { clock, queue, consumer } = setUpRetry((stream) => stream);
    void publishAll(queue, upTo(2));
    const held: Delivery[] = [];
    const handled: number[] = [];
    void consumer.run((payload, delivery) => {
      handled.push(numberOf(payload));
      held.push(delivery);
      if (numberOf(payload) === 1) thrown();
    });
    await held[0]?.ack();
    clock.advance(100);
    await queue.join();
    expect(handled).toEqual([1, 2]);
  });
});

describe('Two AsyncLoopConsumers', () => {
  it('share one queue: each message goes to one of them in turn', async () => {
    const { queue } = setUp();
    const handled: [string, number][] = [];
    const running = ['one', 'other'].map((name) => {
      const consumer = new AsyncLoopConsumer(queue);
      return consumer.run((payload) => void handled.push([name, numberOf(payload)]));
    });
    await Promise.all(publishAll(queue, upTo(4)));
    await queue.close();
    await Promise.all(running);
    expect(handled).toEqual([
      ['one', 1],
      ['other', 2],
      ['one', 3],
      ['other', 4],
    ]);
  });

  it('take over from each other: one handles the messages that the other requeues', async () => {
    const { queue } = setUp();
    const [one, other] = [new AsyncLoopConsumer(queue, { logger: silentLogger }), new AsyncLoopConsumer(queue)];
    void publishAll(queue, upTo(5));
    const first = one.run(never);
    const got: [number, number][] = [];
    void other.run((payload, { attempt }) => void got.push([numberOf(payload), attempt]));
    await one.shutdown({ timeout: 0 });
    await first;
    await queue.join();
    expect(got.toSorted()).toEqual(upTo(5).map((n) => [n, 1]));
  });

  it('of two groups each receive every message', async () => {
    const queue = new MemoryBackend({ groups: ['billing', 'audit'] });
    const counts = { billing: 0, audit: 0 };
    for (const group of ['billing', 'audit'] as const)
      void new AsyncLoopConsumer(queue, { group }).run(() => void counts[group]++);
    await Promise.all(publishAll(queue, upTo(10)));
    expect(counts).toEqual({ billing: 10, audit: 10 });
    await queue.join();
  });
});

function thrown(error: unknown = new Error('no')): never {
  throw error;
}

async function* values() {
  yield 1;
  thrown();
}
