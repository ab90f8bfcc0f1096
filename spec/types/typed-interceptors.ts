/**
 * Compiled by the spec beside it, never run. Each `@ts-expect-error` marks code that must not
 * compile.
 */
import { expectTypeOf } from 'expect-type';
import {
  AsyncLoopConsumer,
  type Delivery,
  type DeliveryOf,
  intercept,
  type MemoryBackend,
  type Outcome,
  type QueueBackend,
  type QueueInterceptor,
  viewDelivery,
} from 'sluice';
import type { PostgresBackend } from 'sluice/postgres';
import type { Order, ShopEvents } from './shop-events.js';

export function anInterceptedQueueHasTheTypeOfTheGivenOne(
  memory: MemoryBackend<ShopEvents>,
  postgres: PostgresBackend<ShopEvents>,
  any: QueueBackend,
  interceptor: QueueInterceptor,
): void {
  expectTypeOf(intercept(memory, interceptor)).toEqualTypeOf<MemoryBackend<ShopEvents>>();
  expectTypeOf(intercept(postgres, interceptor, interceptor)).toEqualTypeOf<PostgresBackend<ShopEvents>>();
  expectTypeOf(intercept(any)).toEqualTypeOf<QueueBackend>();
  const consumer = new AsyncLoopConsumer(intercept(memory, interceptor));
  expectTypeOf(consumer).toEqualTypeOf<AsyncLoopConsumer<ShopEvents>>();
  // @ts-expect-error: no event has this key.
  void intercept(memory, interceptor).publish('orders.shipped', {});
}

export function methodsOfAnInterceptorAreChecked(queue: QueueBackend): void {
  intercept(queue, {
    publish(message, next) {
      expectTypeOf(message.key).toEqualTypeOf<string>();
      expectTypeOf(message.payload).toEqualTypeOf<object>();
      return next({ ...message, options: { ...message.options, headers: { a: 'b' } } });
    },
    deliver(delivery, { group }) {
      expectTypeOf(delivery).toEqualTypeOf<Delivery>();
      expectTypeOf(group).toEqualTypeOf<string>();
      return undefined;
    },
    async process(delivery, run) {
      expectTypeOf(delivery).toEqualTypeOf<Delivery>();
      expectTypeOf(await run()).toEqualTypeOf<Outcome>();
    },
  });
  intercept(queue, { deliver: async (delivery) => delivery }, { process: (_, run) => run() });
  // @ts-expect-error: there is no such method.
  intercept(queue, { onPublish() {} });
  // @ts-expect-error: `next` returns a promise, which the method returns, too.
  intercept(queue, { publish: (message, next) => void next(message) });
  // @ts-expect-error: a delivery or undefined.
  intercept(queue, { deliver: () => true });
}

export function aViewHasTheTypeOfItsPayload(delivery: DeliveryOf<'order', Order>): void {
  expectTypeOf(viewDelivery(delivery, {})).toEqualTypeOf<DeliveryOf<'order', Order>>();
  expectTypeOf(viewDelivery(delivery, { payload: { n: 1 } })).toEqualTypeOf<DeliveryOf<'order', { n: number }>>();
  // @ts-expect-error: a payload is an object.
  viewDelivery(delivery, { payload: 1 });
  // @ts-expect-error: the key of a delivery does not change.
  viewDelivery(delivery, { key: 'other' });
}
