import { type Observable, type OperatorFunction, take } from 'rxjs';
import { from as from6, type Observable as Observable6, of as of6, Subject as Subject6 } from 'rxjs6';
import { map as map6, take as take6 } from 'rxjs6/operators';
import {
  AsyncLoopConsumer,
  type Delivery,
  type DeliveryBatch,
  type DeliveryStream,
  filterDeliveries,
  handle,
  inBatches,
  MemoryBackend,
  publishTo,
} from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { emitAll, FOREIGN_OBSERVABLES } from '../support/foreign-observables.js';
import { Processing } from '../support/handling.js';
import { thrownBy, turns, until } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** An operator of the library with the type of RxJS 6. */
const for6 = <In, Out>(operator: OperatorFunction<In, Out>) =>
  operator as unknown as (source: Observable6<In>) => Observable6<Out>;

describe.each(FOREIGN_OBSERVABLES)('A handler that returns an Observable of %s', (_, create) => {
  it('finishes when the Observable completes', async () => {
    let finish = (): void => {};
    const handler = () =>
      create((producer) => {
        finish = () => emitAll(1, 2)(producer);
        return () => {};
      });
    const processing = new Processing(handler);
    processing.publish([1]);
    await turns();
    expect([processing.values, processing.statuses, processing.queue.inFlight]).toEqual([[], [], 1]);
    finish();
    await turns();
    expect([processing.values, processing.statuses]).toEqual([[1, 2], ['1#1 acked']]);
  });

  it('finishes if the Observable emits and completes within subscribe', async () => {
    const processing = new Processing(() => create(emitAll(1, 2)));
    processing.publish([1]);
    await turns();
    expect([processing.values, processing.statuses]).toEqual([[1, 2], ['1#1 acked']]);
  });

  it('fails with the error of the Observable', async () => {
    const boom = new Error('boom');
    const failing = () =>
      create((producer) => {
        producer.error(boom);
        return () => {};
      });
    const processing = new Processing(failing, { retry: { count: 0 } });
    processing.publish([1]);
    await turns();
    expect(processing.outcomes).toMatchObject([{ status: 'rejected', error: boom }]);
  });

  it('unsubscribes when the subscriber unsubscribes', async () => {
    let left = 0;
    const handler = () =>
      create((producer) => {
        producer.next(1);
        return () => {
          left++;
        };
      });
    const processing = new Processing(handler);
    processing.publish([1]);
    await turns();
    expect([processing.values, left]).toEqual([[1], 0]);
    processing.subscription.unsubscribe();
    expect([processing.statuses, left]).toEqual([['1#1 released'], 1]);
  });

  it('unsubscribes after a timeout', async () => {
    let left = 0;
    const handler = () => create(() => () => void left++);
    const processing = new Processing(handler, { timeout: 10, retry: { count: 0 } });
    processing.publish([1]);
    await processing.pass(10);
    expect([processing.statuses, left]).toEqual([['1#1 rejected'], 1]);
  });

  it('unsubscribes when a subscriber takes one value that was emitted within subscribe', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    await queue.publish('number', { n: 1 });
    let left = 0;
    const handler = () =>
      create((producer) => {
        producer.next(1);
        producer.next(2);
        return () => void left++;
      });
    const values: unknown[] = [];
    queue
      .deliveries()
      .pipe(handle(handler, { logger: silentLogger }), take(1))
      .subscribe((value) => values.push(value));
    await turns();
    expect([values, left, queue.inFlight, queue.size]).toEqual([[1], 1, 0, 1]);
  });

  it('finishes in AsyncLoopConsumer when the Observable completes', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    await queue.publish('number', { n: 1 });
    const consumer = new AsyncLoopConsumer(queue, { logger: silentLogger });
    let finish: (() => void) | undefined;
    const run = consumer.run(() =>
      create((producer) => {
        finish = () => producer.complete();
        return () => {};
      }),
    );
    await until(() => finish !== undefined);
    await turns();
    expect(queue.unfinished).toBe(1);
    finish?.();
    await turns();
    expect(queue.unfinished).toBe(0);
    await consumer.shutdown();
    await run;
  });
});

describe('A handler that returns an object whose Symbol.observable returns no Observable', () => {
  it('fails with a TypeError', async () => {
    const processing = new Processing(() => ({ '@@observable': () => 5 }), { retry: { count: 0 } });
    processing.publish([1]);
    await turns();
    expect(processing.outcomes).toMatchObject([
      { status: 'rejected', error: { name: 'TypeError', message: expect.stringContaining('got 5') } },
    ]);
  });
});

describe.each(FOREIGN_OBSERVABLES)('publishTo', (library, create) => {
  it(`publishes the values of an Observable of ${library}`, async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const values: number[] = [];
    let completed = false;
    publishTo<number>(queue, (n) => ['number', { n }])(create(emitAll(1, 2, 3)) as Observable<number>).subscribe({
      next: (value) => values.push(value),
      complete: () => {
        completed = true;
      },
    });
    await turns();
    expect([values, completed, new Holder(queue).numbers]).toEqual([[1, 2, 3], true, [1, 2, 3]]);
  });
});

describe.each(FOREIGN_OBSERVABLES)('filterDeliveries', (library, create) => {
  it(`filters the deliveries of an Observable of ${library}`, () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const numbers: number[] = [];
    const deliveries = create((producer) => {
      const subscription = queue.deliveries().subscribe((delivery) => producer.next(delivery as never));
      return () => subscription.unsubscribe();
    });
    const selected = filterDeliveries<Delivery>(({ payload }) => numberOf(payload) > 1)(
      deliveries as unknown as Observable<Delivery>,
    );
    const subscription = selected.subscribe(({ payload }) => numbers.push(numberOf(payload)));
    for (const n of [1, 2, 3]) void queue.publish('number', { n });
    expect([numbers, queue.size, queue.inFlight]).toEqual([[2, 3], 0, 2]);
    subscription.unsubscribe();
    expect([queue.size, queue.inFlight]).toEqual([2, 0]);
  });
});

describe('Operators in a pipe of RxJS 6', () => {
  it('publishTo publishes, and operators of RxJS 6 follow', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const values: number[] = [];
    of6(1, 2, 3)
      .pipe(
        for6(publishTo<number>(queue, (n) => ['number', { n }])),
        map6((n) => n * 2),
      )
      .subscribe((value) => values.push(value));
    await turns();
    expect([values, new Holder(queue).numbers]).toEqual([
      [2, 4, 6],
      [1, 2, 3],
    ]);
  });

  it('publishTo stops when take() of RxJS 6 completes', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const source = new Subject6<number>();
    const values: number[] = [];
    source
      .pipe(for6(publishTo<number>(queue, (n) => ['number', { n }])), take6(1))
      .subscribe((value) => values.push(value));
    source.next(1);
    source.next(2);
    await turns();
    expect([values, source.observers.length, queue.size]).toEqual([[1], 0, 1]);
  });

  it('handle and inBatches process deliveries', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    for (const n of upTo(4)) await queue.publish('number', { n });
    await queue.close();
    const deliveries = () => from6(queue.deliveries() as never) as unknown as ReturnType<typeof of6>;
    const handled: unknown[] = [];
    deliveries()
      .pipe(take6(2), for6(handle(({ payload }) => numberOf(payload), { logger: silentLogger })) as never)
      .subscribe((value) => handled.push(value));
    await turns();
    expect(handled).toEqual([1, 2]);
    const batches: number[][] = [];
    deliveries()
      .pipe(for6(inBatches({ maxSize: 2, maxWait: 10 })) as never)
      .subscribe((batch) => {
        const { deliveries, ack } = batch as unknown as DeliveryBatch;
        batches.push(deliveries.map(({ payload }) => numberOf(payload)));
        void ack.call(batch);
      });
    await turns();
    expect([batches, queue.unfinished]).toEqual([[[3, 4]], 0]);
  });

  it('handle applies its `deliveryLimit`', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    await queue.publish('number', { n: 1 });
    await queue.close();
    const handled: unknown[] = [];
    const operator = handle(({ payload }) => numberOf(payload), { deliveryLimit: 10, logger: silentLogger });
    operator(from6(queue.deliveries() as never) as unknown as DeliveryStream).subscribe((value) => handled.push(value));
    await turns();
    expect([handled, queue.unfinished]).toEqual([[1], 0]);
  });
});

describe.each<[string, OperatorFunction<never, unknown>]>([
  ['handle', handle(() => {}) as OperatorFunction<never, unknown>],
  ['publishTo', publishTo(new MemoryBackend(), () => ['key', {}])],
  ['inBatches', inBatches({ maxSize: 1, maxWait: 1 }) as OperatorFunction<never, unknown>],
])('%s', (_, operator) => {
  it.each([
    ['undefined', undefined],
    ['null', null],
    ['an array', []],
    ['a Promise', Promise.resolve()],
    ['an object', {}],
  ])('throws for a source that is not an Observable but %s', (described, source) => {
    expect(thrownBy(() => operator(source as unknown as Observable<never>))).toMatchObject({
      name: 'TypeError',
      message: expect.stringContaining(`Expected \`source\` to be an Observable, got ${described}`),
    });
  });
});
