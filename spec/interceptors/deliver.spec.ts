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
  viewDelivery,
} from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

const times100: QueueInterceptor = {
  deliver: (delivery) => viewDelivery(delivery, { payload: { n: numberOf(delivery.payload) * 100 } }),
};

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
