/**
 * Compiled by the spec beside it, never run. Each `@ts-expect-error` marks code that must not
 * compile.
 */
import { expectTypeOf } from 'expect-type';
import { concatMap, filter, from, interval, type Observable, of } from 'rxjs';
import { of as of6 } from 'rxjs6';
import {
  AsyncLoopConsumer,
  type Delivery,
  type DeliveryBatch,
  type DeliveryOf,
  type EventConsumer,
  type EventRoutes,
  exponentialBackoff,
  filterDeliveries,
  type Handler,
  handle,
  inBatches,
  type Logger,
  MemoryBackend,
  type Outcome,
  publishTo,
  type QueueBackend,
  route,
} from 'sluice';
import ZenObservable from 'zen-observable';
import type { Cancellation, Order, ShopEvents } from './shop-events.js';

export function whatAHandlerReturnsFlowsDownstream(queue: MemoryBackend<ShopEvents>): void {
  const deliveries = queue.deliveries();
  expectTypeOf(deliveries.pipe(handle(() => 1))).toEqualTypeOf<Observable<number>>();
  expectTypeOf(deliveries.pipe(handle(async () => 'text'))).toEqualTypeOf<Observable<string>>();
  expectTypeOf(deliveries.pipe(handle(async () => [1, 2]))).toEqualTypeOf<Observable<number[]>>();
  expectTypeOf(deliveries.pipe(handle(() => of(1, 2)))).toEqualTypeOf<Observable<number>>();
  expectTypeOf(deliveries.pipe(handle(() => of6(1, 2)))).toEqualTypeOf<Observable<number>>();
  expectTypeOf(deliveries.pipe(handle(() => ZenObservable.of(1, 2)))).toEqualTypeOf<Observable<number>>();
  expectTypeOf(deliveries.pipe(handle(async () => {}))).toEqualTypeOf<Observable<never>>();
  expectTypeOf(deliveries.pipe(handle(() => {}))).toEqualTypeOf<Observable<never>>();
  expectTypeOf(deliveries.pipe(handle(async ({ payload }) => (payload.id > 1 ? payload.id : undefined)))).toEqualTypeOf<
    Observable<number>
  >();
  expectTypeOf(
    deliveries.pipe(
      handle(async function* () {
        yield 1;
      }),
    ),
  ).toEqualTypeOf<Observable<number>>();
}

export function handlersAndTheirOptionsKnowTheEvents(
  queue: QueueBackend<ShopEvents>,
  failed: QueueBackend<ShopEvents>,
  anything: QueueBackend,
): void {
  queue
    .deliveries()
    .pipe(
      handle(
        (delivery, { signal }) => {
          expectTypeOf(delivery).toEqualTypeOf<Delivery<ShopEvents>>();
          expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
          if (delivery.key === 'orders.cancelled') expectTypeOf(delivery.payload).toEqualTypeOf<Cancellation>();
        },
        {
          orderBy: ({ payload }) => payload.id,
          deadLetter: failed,
          retry: {
            count: 5,
            delay: (error, retryCount, delivery) => {
              expectTypeOf(delivery).toEqualTypeOf<Delivery<ShopEvents>>();
              return delivery.payload.id * exponentialBackoff({ max: 5000 })(error, retryCount);
            },
          },
          onOutcome: (outcome) => expectTypeOf(outcome).toEqualTypeOf<Outcome<Delivery<ShopEvents>>>(),
        },
      ),
    )
    .subscribe();
  const created = queue.deliveries().pipe(filter((delivery) => delivery.key === 'orders.created'));
  created
    .pipe(handle(async ({ payload }) => expectTypeOf(payload).toEqualTypeOf<Order>(), { deadLetter: anything }))
    .subscribe();
  created
    .pipe(
      handle(() => {}, {
        deadLetter: async (delivery, error, { signal }) => console.log(delivery.payload.id, error, signal),
      }),
    )
    .subscribe();

  // @ts-expect-error - no such option
  handle(() => {}, { attempts: 3 });
  // @ts-expect-error - a number of milliseconds
  handle(() => {}, { timeout: '5s' });
  // @ts-expect-error - the field of RxJS is called `count`
  handle(() => {}, { retry: { attempts: 3 } });
  // @ts-expect-error - a handler is for deliveries
  interval(1000).pipe(handle(() => {}));
}

export function batchesKnowTheEvents(queue: QueueBackend<ShopEvents>): void {
  queue
    .deliveries()
    .pipe(
      inBatches({ maxSize: 10, maxWait: 50 }),
      concatMap((batch) => {
        expectTypeOf(batch).toEqualTypeOf<DeliveryBatch<Delivery<ShopEvents>>>();
        return batch.ack();
      }),
    )
    .subscribe();
  // @ts-expect-error - a batch needs a time too
  inBatches({ maxSize: 10 });
}

export function filtersNarrowTheEvents(queue: QueueBackend<ShopEvents>, anything: QueueBackend): void {
  type Created = DeliveryOf<'orders.created', Order>;
  const deliveries = queue.deliveries();
  const guard = (delivery: Delivery<ShopEvents>): delivery is Created => delivery.key === 'orders.created';
  expectTypeOf(deliveries.pipe(filterDeliveries(guard))).toEqualTypeOf<Observable<Created>>();
  expectTypeOf(
    deliveries.pipe(filterDeliveries((delivery): delivery is Created => delivery.key === 'orders.created')),
  ).toEqualTypeOf<Observable<Created>>();
  expectTypeOf(deliveries.pipe(filterDeliveries((delivery) => delivery.key === 'orders.created'))).toEqualTypeOf<
    Observable<Created>
  >();
  expectTypeOf(
    deliveries.pipe(filterDeliveries(({ payload }) => payload.id > 1, { otherwise: 'release' })),
  ).toEqualTypeOf<Observable<Delivery<ShopEvents>>>();
  expectTypeOf(anything.deliveries().pipe(filterDeliveries(({ key }) => key === 'a'))).toEqualTypeOf<
    Observable<Delivery>
  >();
  deliveries
    .pipe(
      filterDeliveries(guard),
      handle(async ({ payload }) => expectTypeOf(payload).toEqualTypeOf<Order>()),
    )
    .subscribe();

  // @ts-expect-error - a nack without a delay would redeliver at once
  filterDeliveries(() => true, { otherwise: 'nack' });
  // @ts-expect-error - a promise is always truthy
  filterDeliveries(async () => true);
  // @ts-expect-error - a filter of deliveries
  interval(1000).pipe(filterDeliveries(() => true));
}

export function aRouteKnowsTheEvents(
  queue: QueueBackend<ShopEvents>,
  anything: QueueBackend,
  charge: (order: Order) => Promise<'paid'>,
): void {
  type Created = DeliveryOf<'orders.created', Order>;
  const deliveries = queue.deliveries();
  const results = deliveries.pipe(
    handle(
      route(
        {
          'orders.created': (delivery, { signal }) => {
            expectTypeOf(delivery).toEqualTypeOf<Created>();
            expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
            return charge(delivery.payload);
          },
          'orders.cancelled': ({ payload }) => of(payload.id),
        },
        { otherwise: (delivery) => expectTypeOf(delivery).toEqualTypeOf<Delivery<ShopEvents>>() },
      ),
      { concurrency: 8, orderBy: ({ payload }) => payload.id },
    ),
  );
  expectTypeOf(results).toExtend<Observable<unknown>>();
  expectTypeOf(
    deliveries.pipe(handle(route({ 'orders.created': async () => 'text', 'orders.cancelled': () => of(1) }))),
  ).toEqualTypeOf<Observable<string | number>>();
  expectTypeOf(deliveries.pipe(handle(route({ 'orders.created': () => 1 })))).toEqualTypeOf<Observable<number>>();
  expectTypeOf(
    deliveries.pipe(handle(route({ 'orders.created': () => 1 }, { otherwise: async () => 'text' }))),
  ).toEqualTypeOf<Observable<number | string>>();
  expectTypeOf(anything.deliveries().pipe(handle(route({ a: ({ payload }) => payload })))).toEqualTypeOf<
    Observable<object>
  >();

  const named = route<ShopEvents>({ 'orders.cancelled': async ({ payload }) => payload.reason });
  expectTypeOf(named).toEqualTypeOf<Handler<Delivery<ShopEvents>>>();
  deliveries.pipe(handle(named)).subscribe();
  expectTypeOf(route<ShopEvents, string>({ 'orders.created': () => 'text' })).toEqualTypeOf<
    Handler<Delivery<ShopEvents>, string>
  >();
  const declared: Handler<Delivery<ShopEvents>, Promise<number>> = route({
    'orders.created': async ({ payload }) => payload.id,
  });
  void new AsyncLoopConsumer(queue).run((_payload, delivery, context) => declared(delivery, context));
  const routes: EventRoutes<ShopEvents> = {
    'orders.created': ({ payload }) => expectTypeOf(payload).toEqualTypeOf<Order>(),
  };
  deliveries.pipe(handle(route(routes))).subscribe();
  deliveries.pipe(handle(route({ 'orders.created': undefined }))).subscribe();

  // @ts-expect-error - no such key
  deliveries.pipe(handle(route({ 'orders.shipped': () => {} })));
  // @ts-expect-error - no such key
  route<ShopEvents>({ 'orders.shipped': () => {} });
  deliveries.pipe(
    // @ts-expect-error - the payload of another key
    handle(route({ 'orders.created': ({ payload }: DeliveryOf<'orders.created', Cancellation>) => payload.reason })),
  );
  // @ts-expect-error - the payload of another key
  route<ShopEvents>({ 'orders.created': ({ payload }) => payload.reason });
  // @ts-expect-error - no handler
  route({ 'orders.created': 1 });
  // @ts-expect-error - no such option
  route({ 'orders.created': () => {} }, { fallback: () => {} });
}

export function publishToChecksThePair(queue: QueueBackend<ShopEvents>, anything: MemoryBackend): void {
  const orders = from([{ id: 1 }]);
  expectTypeOf(orders.pipe(publishTo(queue, (order) => ['orders.created', order]))).toEqualTypeOf<
    Observable<{ id: number }>
  >();
  orders.pipe(publishTo(anything, (order) => ['any key', order], { concurrency: 4 })).subscribe();
  orders
    .pipe(
      publishTo(queue, (order) => ['orders.created', order, { headers: { trace: 'abc' }, delay: 5, group: 'billing' }]),
    )
    .subscribe();
  orders.pipe(publishTo(anything, (order) => ['any key', order, {}])).subscribe();
  orders.pipe(publishTo(anything, (order) => ['any key', order, order.id > 1 ? { delay: 5 } : undefined])).subscribe();
  orders
    .pipe(
      publishTo(queue, (order) => (order.id > 1 ? ['orders.created', order, { delay: 5 }] : ['orders.created', order])),
    )
    .subscribe();
  // @ts-expect-error - the payload of another key
  orders.pipe(publishTo(queue, (order) => ['orders.cancelled', order, {}])).subscribe();
  // @ts-expect-error - no such option
  orders.pipe(publishTo(queue, (order) => ['orders.created', order, { after: 5 }])).subscribe();
  // @ts-expect-error - the payload of another key
  orders.pipe(publishTo(queue, (order) => ['orders.cancelled', order])).subscribe();
}

export async function consumersKnowTheEvents(queue: QueueBackend<ShopEvents>, logger: Console): Promise<void> {
  const consumer = new AsyncLoopConsumer(queue, {
    group: 'billing',
    orderBy: (delivery) => delivery.payload.id,
    retry: { delay: (_error, _retryCount, { key, payload }) => (key === 'orders.created' ? payload.id : 0) },
    logger,
  });
  expectTypeOf(consumer.outcomes$).toEqualTypeOf<Observable<Outcome<Delivery<ShopEvents>>>>();
  const contract: EventConsumer<ShopEvents> = consumer;
  await contract.run(async (payload, delivery, { signal }) => {
    expectTypeOf(payload).toEqualTypeOf<Order | Cancellation>();
    expectTypeOf(delivery).toEqualTypeOf<Delivery<ShopEvents>>();
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
  });
  await contract.shutdown({ timeout: Number.POSITIVE_INFINITY });

  await new AsyncLoopConsumer(new MemoryBackend()).run(() => {});
  // A fake with two functions, as in a test.
  const fake = {
    async publish() {},
    async *consume() {
      yield { id: 1 };
    },
  };
  await new AsyncLoopConsumer(fake).run(() => {});
  // @ts-expect-error - nothing to consume from
  new AsyncLoopConsumer({ async publish() {} });
}

/** The log methods of pino, with its own signatures. */
interface PinoLike {
  debug(object: unknown, message?: string, ...args: unknown[]): void;
  debug(message: string, ...args: unknown[]): void;
  warn(object: unknown, message?: string, ...args: unknown[]): void;
  warn(message: string, ...args: unknown[]): void;
  error(object: unknown, message?: string, ...args: unknown[]): void;
  error(message: string, ...args: unknown[]): void;
}

export function aLoggerIsAConsoleOrAPino(pino: PinoLike): Logger[] {
  return [console, pino];
}
