import { AsyncLocalStorage } from 'node:async_hooks';
import { concatMap, filter, firstValueFrom, lastValueFrom, map, toArray } from 'rxjs';
import {
  AsyncLoopConsumer,
  type Delivery,
  filterDeliveries,
  handle,
  inBatches,
  intercept,
  MemoryBackend,
  type QueueInterceptor,
  receive,
  UnrecoverableError,
  viewDelivery,
} from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns, until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

const times100: QueueInterceptor = {
  deliver: (delivery) => viewDelivery(delivery, { payload: { n: numberOf(delivery.payload) * 100 } }),
};

/** Holds each delivery until the test lets it go. */
class Gate implements QueueInterceptor {
  readonly waiting = new Map<number, (fate: 'pass' | 'keep' | Error) => void>();

  deliver(delivery: Delivery): Promise<Delivery | undefined> {
    return new Promise((resolve, reject) => {
      this.waiting.set(numberOf(delivery.payload), (fate) => {
        if (fate instanceof Error) reject(fate);
        else resolve(fate === 'pass' ? delivery : undefined);
      });
    });
  }

  async open(n: number, fate: 'pass' | 'keep' | Error = 'pass'): Promise<void> {
    this.waiting.get(n)?.(fate);
    await turns();
  }
}

describe('deliver of an interceptor', () => {
  it.each<[string, (queue: MemoryBackend) => Promise<number[]>]>([
    [
      'a subscriber',
      async (queue) => {
        const numbers: number[] = [];
        queue.deliveries().subscribe((delivery) => {
          numbers.push(numberOf(delivery.payload));
          void delivery.ack();
        });
        return numbers;
      },
    ],
    [
      'a loop over deliveries',
      async (queue) => {
        const numbers: number[] = [];
        for await (const { payload } of queue.deliveries()) if (numbers.push(numberOf(payload)) === 3) break;
        return numbers;
      },
    ],
    [
      'consume',
      async (queue) => {
        const numbers: number[] = [];
        for await (const payload of queue.consume()) if (numbers.push(numberOf(payload)) === 3) break;
        return numbers;
      },
    ],
    [
      'consume with a prefetch',
      async (queue) => {
        const numbers: number[] = [];
        for await (const payload of queue.consume({ prefetch: 2 })) if (numbers.push(numberOf(payload)) === 3) break;
        return numbers;
      },
    ],
    [
      'receive',
      async (queue) => {
        const numbers: number[] = [];
        for (let i = 0; i < 3; i++) {
          const delivery = await receive(queue);
          numbers.push(numberOf(delivery.payload));
          await delivery.ack();
        }
        return numbers;
      },
    ],
    [
      'handle',
      async (queue) => {
        const numbers: number[] = [];
        queue
          .deliveries()
          .pipe(handle(({ payload }) => void numbers.push(numberOf(payload))))
          .subscribe();
        return numbers;
      },
    ],
    [
      'AsyncLoopConsumer',
      async (queue) => {
        const numbers: number[] = [];
        const consumer = new AsyncLoopConsumer(queue);
        const run = consumer.run((payload) => void numbers.push(numberOf(payload)));
        await until(() => numbers.length === 3);
        await consumer.shutdown();
        await run;
        return numbers;
      },
    ],
    [
      'inBatches',
      async (queue) => {
        const batch = await firstValueFrom(queue.deliveries().pipe(inBatches({ maxSize: 3, maxWait: 60_000 })));
        return batch.deliveries.map(({ payload }) => numberOf(payload));
      },
    ],
    [
      'filterDeliveries',
      async (queue) => {
        const numbers: number[] = [];
        queue
          .deliveries()
          .pipe(
            filterDeliveries(({ payload }) => numberOf(payload) >= 100),
            handle(({ payload }) => void numbers.push(numberOf(payload))),
          )
          .subscribe();
        return numbers;
      },
    ],
  ])('changes what %s gets', async (_, consume) => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(3));
    expect(await consume(intercept(queue, times100))).toEqual([100, 200, 300]);
  });

  it('sees a delivery in the order from the queue to the subscriber, with its group', async () => {
    const seen: string[] = [];
    const note = (name: string): QueueInterceptor => ({
      deliver(delivery, { group }) {
        seen.push(`${name} ${numberOf(delivery.payload)} ${group}`);
        return viewDelivery(delivery, { payload: { n: numberOf(delivery.payload) + 1 } });
      },
    });
    const queue = new MemoryBackend({ groups: ['audit'] });
    void publishAll(queue, [1]);
    const delivery = await receive(intercept(intercept(queue, note('c'), note('d')), note('a'), note('b')), {
      group: 'audit',
    });
    expect(seen).toEqual(['d 1 audit', 'c 2 audit', 'b 3 audit', 'a 4 audit']);
    expect(numberOf(delivery.payload)).toBe(5);
  });

  it('emits within the call of publish', () => {
    const queue = intercept(new MemoryBackend(), times100);
    const numbers: number[] = [];
    queue.deliveries().subscribe(({ payload }) => numbers.push(numberOf(payload)));
    void queue.publish('key', { n: 1 });
    expect(numbers).toEqual([100]);
  });

  it('takes a message itself if it settles it and returns undefined', async () => {
    const queue = new MemoryBackend();
    const numbers: number[] = [];
    intercept(queue, {
      deliver(delivery) {
        if (numberOf(delivery.payload) % 2 === 1) return delivery;
        void delivery.ack();
        return undefined;
      },
    })
      .deliveries({ prefetch: 1 })
      .subscribe((delivery) => {
        numbers.push(numberOf(delivery.payload));
        void delivery.ack();
      });
    await Promise.all(publishAll(queue, upTo(5)));
    expect(numbers).toEqual([1, 3, 5]);
    expect(queue.unfinished).toBe(0);
  });

  it('does not emit a delivery that it has settled and returned', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const next = jest.fn();
    intercept(queue, {
      deliver(delivery) {
        void delivery.ack();
        return delivery;
      },
    })
      .deliveries()
      .subscribe(next);
    await Promise.all(publishAll(queue, [1]));
    expect(next).not.toHaveBeenCalled();
  });

  it.each<[string, unknown]>([
    ['true', true],
    ['null', null],
    ['an object', {}],
  ])('fails if it returns %s', async (_, result) => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger: silentLogger });
    await Promise.all(publishAll(queue, [1]));
    intercept(queue, { deliver: () => result as never })
      .deliveries()
      .pipe(handle(() => {}, { logger, retry: { count: 0 } }))
      .subscribe();
    expect(logger.errors[0]).toMatch(/Expected `deliver` of an interceptor to return a delivery or undefined, got /);
    expect(queue.unfinished).toBe(0);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['false', false],
    ['an empty string', ''],
  ])('fails if its promise resolves to %s, and holds up nothing', async (_, result) => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger: silentLogger });
    const numbers: number[] = [];
    void publishAll(queue, upTo(2));
    intercept(queue, {
      deliver: async (delivery) => (numberOf(delivery.payload) === 1 ? (result as never) : delivery),
    })
      .deliveries()
      .pipe(handle(({ payload }) => void numbers.push(numberOf(payload)), { logger, retry: { count: 0 } }))
      .subscribe();
    await until(() => queue.unfinished === 0);
    expect(logger.errors[0]).toMatch(/Expected `deliver` of an interceptor to return a delivery or undefined, got /);
    expect(numbers).toEqual([2]);
  });

  it('runs in the asynchronous context of the subscriber', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const queue = new MemoryBackend();
    const note = (delivery: Delivery) => {
      seen.push(storage.getStore());
      return delivery;
    };
    const intercepted = intercept(queue, { deliver: note }, { deliver: async (delivery) => note(delivery) });
    storage.run('subscriber', () => intercepted.deliveries().subscribe(note));
    storage.run('publisher', () => void publishAll(queue, [1]));
    await until(() => seen.length === 3);
    expect(seen).toEqual(['subscriber', 'subscriber', 'subscriber']);
  });

  it('keeps the credit of the stream: AsyncLoopConsumer adapts its prefetch', async () => {
    const queue = new MemoryBackend();
    await Promise.all(publishAll(queue, upTo(100)));
    const consumer = new AsyncLoopConsumer(intercept(queue, times100), { concurrency: 1 });
    void consumer.run(() => new Promise(() => {}));
    expect(queue.inFlight).toBe(2);
    void consumer.shutdown({ timeout: 0 });
  });
});

describe('An asynchronous deliver', () => {
  function open(prefetch = 32) {
    const queue = new MemoryBackend({ logger: silentLogger });
    const gate = new Gate();
    const emitted: Delivery[] = [];
    const controller = new AbortController();
    const end = { completed: false };
    const subscription = intercept(queue, gate)
      .deliveries({ prefetch, signal: controller.signal })
      .subscribe({
        next: (delivery) => emitted.push(delivery),
        complete: () => Object.assign(end, { completed: true }),
      });
    const numbers = () => emitted.map(({ payload }) => numberOf(payload));
    return { queue, gate, emitted, numbers, subscription, controller, end };
  }

  it('keeps the order, and has as many at work as the prefetch allows', async () => {
    const { queue, gate, numbers, emitted } = open(3);
    void publishAll(queue, upTo(5));
    expect([...gate.waiting.keys()]).toEqual([1, 2, 3]);
    await gate.open(2);
    await gate.open(3);
    expect(numbers()).toEqual([]);
    await gate.open(1);
    expect(numbers()).toEqual([1, 2, 3]);
    await emitted[1]?.ack();
    expect([...gate.waiting.keys()]).toEqual([1, 2, 3, 4]);
  });

  it('does not hold up acknowledgements of what was emitted', async () => {
    const { queue, gate, emitted } = open();
    void publishAll(queue, upTo(2));
    await gate.open(1);
    expect(queue.unfinished).toBe(2);
    expect(await emitted[0]?.ack()).toBe(true);
    expect(queue.unfinished).toBe(1);
  });

  it('lets later deliveries pass when an interceptor keeps one', async () => {
    const { queue, gate, numbers } = open();
    void publishAll(queue, upTo(3));
    await gate.open(3);
    await gate.open(2);
    await gate.open(1, 'keep');
    expect(numbers()).toEqual([2, 3]);
  });

  it('releases what was not emitted when the subscriber leaves: its attempt does not count', async () => {
    const { queue, gate, subscription } = open();
    void publishAll(queue, upTo(3));
    await gate.open(1);
    subscription.unsubscribe();
    expect((await queue.peek()).map(({ payload, attempt }) => [numberOf(payload), attempt])).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
    await gate.open(2);
    expect(queue.size).toBe(3);
  });

  it('releases what was not emitted when the signal aborts, and completes when the rest is settled', async () => {
    const { queue, gate, emitted, controller, end } = open();
    void publishAll(queue, upTo(3));
    await gate.open(1);
    controller.abort();
    expect([queue.size, queue.inFlight, end.completed]).toEqual([2, 1, false]);
    await gate.open(2);
    expect(emitted).toHaveLength(1);
    await emitted[0]?.ack();
    expect([queue.size, end.completed]).toEqual([2, true]);
  });

  it('leaves what an interceptor has taken to it when the signal aborts', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const controller = new AbortController();
    const taken: Delivery[] = [];
    intercept(queue, {
      deliver(delivery) {
        if (numberOf(delivery.payload) === 1) return new Promise(() => {});
        taken.push(delivery);
        return undefined;
      },
    })
      .deliveries({ signal: controller.signal })
      .subscribe();
    void publishAll(queue, upTo(2));
    controller.abort();
    expect(await taken[0]?.ack()).toBe(true);
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it('does not emit what the queue has taken back, and completes without waiting for it', async () => {
    const { queue, gate, numbers, end } = open();
    void publishAll(queue, upTo(2));
    await queue.close({ drain: false });
    await gate.open(1);
    expect(numbers()).toEqual([1]);
    await gate.open(2, 'keep');
    expect(end.completed).toBe(false);
  });

  it('takes nothing for a receive that was aborted meanwhile', async () => {
    const queue = new MemoryBackend();
    const gate = new Gate();
    const controller = new AbortController();
    const received = receive(intercept(queue, gate), { signal: controller.signal });
    void publishAll(queue, [1]);
    expect(await stateOf(received)).toBe('pending');
    controller.abort('enough');
    expect(await rejectionOf(received)).toBe('enough');
    await gate.open(1);
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it('gives each loop its message in order', async () => {
    const queue = intercept(new MemoryBackend(), {
      async deliver(delivery) {
        await turns(4 - numberOf(delivery.payload));
        return delivery;
      },
    });
    void publishAll(queue, upTo(3));
    const numbers: number[] = [];
    for await (const payload of queue.consume({ prefetch: 3 })) if (numbers.push(numberOf(payload)) === 3) break;
    expect(numbers).toEqual([1, 2, 3]);
    expect(queue.unfinished).toBe(0);
  });
});

describe('A failing deliver', () => {
  const error = new Error('broken');
  const breaks: QueueInterceptor = {
    deliver(delivery) {
      if (numberOf(delivery.payload) === 2) throw error;
      return delivery;
    },
  };
  const breaksLater: QueueInterceptor = {
    async deliver(delivery) {
      return breaks.deliver?.(delivery, { group: 'default' });
    },
  };

  describe.each([
    ['synchronously', breaks],
    ['later', breaksLater],
  ])('%s', (_, interceptor) => {
    it('fails the attempt of a handler, which does not run', async () => {
      const logger = recordingLogger();
      const queue = new MemoryBackend({ logger: silentLogger });
      const dead = new MemoryBackend();
      const seen: number[] = [];
      const outcomes: unknown[] = [];
      void publishAll(queue, upTo(3));
      intercept(queue, interceptor)
        .deliveries()
        .pipe(
          handle(({ payload }) => void seen.push(numberOf(payload)), {
            retry: { count: 1, delay: 0 },
            deadLetter: dead,
            logger,
            onOutcome: ({ status, error, delivery }) => void outcomes.push([numberOf(delivery.payload), status, error]),
          }),
        )
        .subscribe();
      await until(() => dead.size === 1);
      expect(seen).toEqual([1, 3]);
      expect(outcomes).toContainEqual([2, 'retried', error]);
      expect(outcomes).toContainEqual([2, 'dead-lettered', error]);
      expect(logger.warnings[0]).toMatch(/^An interceptor failed: delivery .*: Error: broken; next try in 0 ms$/);
      expect((await dead.peek())[0]).toMatchObject({ payload: { n: 2 }, headers: { 'sluice-error': 'Error: broken' } });
    });

    it('keeps the message from the functions of `handle` and of filterDeliveries', async () => {
      const queue = new MemoryBackend({ logger: silentLogger });
      const seen: number[] = [];
      const note = (delivery: { payload: object }) => {
        seen.push(numberOf(delivery.payload));
        return true;
      };
      void publishAll(queue, upTo(3));
      intercept(queue, interceptor)
        .deliveries()
        .pipe(filterDeliveries(note), handle(note, { orderBy: note, retry: { count: 0 }, logger: silentLogger }))
        .subscribe();
      await until(() => queue.unfinished === 0);
      expect(new Set(seen)).toEqual(new Set([1, 3]));
    });

    it('fails the attempt of a handler on a third-party backend', async () => {
      const fake = fakeBackend([1, 2, 3].map((n) => ['key', { n }] as const));
      const values = await lastValueFrom(
        intercept(fake, interceptor)
          .deliveries()
          .pipe(
            handle(({ payload }) => numberOf(payload), { retry: { count: 0 }, logger: silentLogger }),
            toArray(),
          ),
      );
      expect(values).toEqual([1, 3]);
      expect(fake.settlements.find(({ how }) => how === 'rejected')).toMatchObject({
        payload: { n: 2 },
        reason: error,
      });
    });

    it('requeues the message of another consumer after a delay, and logs the error', async () => {
      const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
      const fake = fakeBackend([1, 2, 3].map((n) => ['key', { n }] as const));
      const numbers: number[] = [];
      for await (const { payload } of intercept(fake, interceptor).deliveries()) numbers.push(numberOf(payload));
      expect(numbers).toEqual([1, 3]);
      const failed = fake.settlements.find(({ payload }) => numberOf(payload) === 2);
      expect(failed).toMatchObject({ how: 'retried' });
      expect(failed?.delay).toBeGreaterThanOrEqual(800);
      expect(logged.mock.calls[0]?.[0]).toMatch(
        /^An interceptor failed: delivery fake-2 .*Error: broken; next try in \d+ ms/,
      );
      logged.mockRestore();
    });
  });

  it('rejects the message of another consumer with an UnrecoverableError', async () => {
    const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
    const fake = fakeBackend([['key', { n: 1 }]]);
    const reason = new UnrecoverableError('invalid');
    const failing: QueueInterceptor = {
      deliver() {
        throw reason;
      },
    };
    for await (const _ of intercept(fake, failing).consume()) throw new Error('unexpected');
    expect(fake.settlements).toMatchObject([{ how: 'rejected', reason }]);
    expect(logged.mock.calls[0]?.[0]).toContain('its message is rejected');
    logged.mockRestore();
  });

  it('is given up at once by a handler with an UnrecoverableError', async () => {
    const fake = fakeBackend([['key', { n: 1 }]]);
    const handler = jest.fn();
    const failing: QueueInterceptor = {
      deliver() {
        throw new UnrecoverableError('invalid');
      },
    };
    await lastValueFrom(
      intercept(intercept(fake, failing), { deliver: handler })
        .deliveries()
        .pipe(handle(handler, { logger: silentLogger })),
      { defaultValue: undefined },
    );
    expect(handler).not.toHaveBeenCalled();
    expect(fake.settlements).toMatchObject([{ how: 'rejected', attempt: 1 }]);
  });

  it('only logs its error if it has settled the delivery', async () => {
    const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
    const fake = fakeBackend([['key', { n: 1 }]]);
    const failing: QueueInterceptor = {
      deliver(delivery) {
        void delivery.ack();
        throw error;
      },
    };
    const handler = jest.fn();
    await lastValueFrom(intercept(fake, failing).deliveries().pipe(handle(handler)), { defaultValue: undefined });
    expect(handler).not.toHaveBeenCalled();
    expect(fake.settlements).toMatchObject([{ how: 'acked' }]);
    expect(logged.mock.calls[0]?.[0]).toContain('its delivery was already acked');
    logged.mockRestore();
  });
});

describe('Operators between an intercepted queue and its handler', () => {
  it('keep the interception of each delivery', async () => {
    const process = jest.fn((_: Delivery, run: () => Promise<unknown>) => run());
    const fake = fakeBackend([1, 2].map((n) => ['key', { n }] as const));
    const values = await lastValueFrom(
      intercept(fake, { process }, times100)
        .deliveries()
        .pipe(
          filter(() => true),
          concatMap(async (delivery) => delivery),
          map((delivery) => viewDelivery(delivery, { payload: { n: numberOf(delivery.payload) + 1 } })),
          handle(({ payload }) => numberOf(payload)),
          toArray(),
        ),
    );
    expect(values).toEqual([101, 201]);
    expect(process).toHaveBeenCalledTimes(2);
  });
});
