/**
 * Compiled by the spec beside it, never run. Each `@ts-expect-error` marks code that must not
 * compile.
 */
import { expectTypeOf } from 'expect-type';
import type { Observable } from 'rxjs';
import { type AnyEvents, type Delivery, MemoryBackend, type QueueBackend, type QueueEntry, receive } from 'sluice';
import type { Cancellation, Order, ShopEvents } from './shop-events.js';

/** Events as a type alias of literals. */
type LiteralEvents = { a: { readonly a: number }; b: { readonly b: string } };

export async function publishChecksThePair(
  queue: MemoryBackend<ShopEvents>,
  cancellation: Cancellation,
): Promise<void> {
  await queue.publish('orders.created', { id: 1 });
  await queue.publish('orders.cancelled', cancellation, { delay: 5, headers: { trace: '1' } });
  await queue.publish('orders.cancelled', cancellation, cancellation.reason === '' ? undefined : { delay: 5 });
  queue.tryPublish('orders.created', { id: 1 });

  // @ts-expect-error - the payload of another key
  await queue.publish('orders.cancelled', { id: 1 });
  // @ts-expect-error - no such key
  await queue.publish('orders.shipped', { id: 1 });
  // @ts-expect-error - a payload has to be an object
  await queue.publish('orders.created', 1);
  // @ts-expect-error - a header has to be a string
  await queue.publish('orders.created', { id: 1 }, { headers: { trace: 1 } });
  // @ts-expect-error - no such option
  await queue.publish('orders.created', { id: 1 }, { delayed: 1 });
  // @ts-expect-error - the payload of another key
  queue.tryPublish('orders.cancelled', { id: 1 });
}

export async function aKeyOfAUnionTypeIsCheckedWithItsPayload(
  queue: QueueBackend<ShopEvents>,
  key: 'orders.created' | 'orders.cancelled',
  either: Order | Cancellation,
  entry: QueueEntry<ShopEvents>,
): Promise<void> {
  // @ts-expect-error - two of the four pairs of key and payload are wrong
  await queue.publish(key, either);
  await queue.publish(...entry);
}

export function theKeyNarrowsThePayload(delivery: Delivery<ShopEvents>): void {
  expectTypeOf(delivery.key).toEqualTypeOf<'orders.created' | 'orders.cancelled'>();
  // @ts-expect-error - the key was not checked before
  delivery.payload.reason;
  if (delivery.key === 'orders.cancelled') expectTypeOf(delivery.payload).toEqualTypeOf<Cancellation>();
  else expectTypeOf(delivery.payload).toEqualTypeOf<Order>();
  switch (delivery.key) {
    case 'orders.created':
    case 'orders.cancelled':
      break;
    default:
      expectTypeOf(delivery).toEqualTypeOf<never>();
  }
}

export async function everyWayOfConsumingIsTyped(queue: MemoryBackend<LiteralEvents>): Promise<void> {
  expectTypeOf(await receive(queue)).toEqualTypeOf<Delivery<LiteralEvents>>();
  expectTypeOf(queue.published$).toEqualTypeOf<
    Observable<readonly ['a', { readonly a: number }] | readonly ['b', { readonly b: string }]>
  >();
  for await (const payload of queue.consume())
    expectTypeOf(payload).toEqualTypeOf<{ readonly a: number } | { readonly b: string }>();
  for await (const delivery of queue.deliveries()) expectTypeOf(delivery).toEqualTypeOf<Delivery<LiteralEvents>>();
  queue.deliveries().subscribe((delivery) => {
    expectTypeOf(delivery).toEqualTypeOf<Delivery<LiteralEvents>>();
    // @ts-expect-error - a delivery is read-only
    delivery.payload = { a: 1 };
  });
}

export async function withoutEventsAnyKeyAndAnyObjectAreAccepted(
  queue: QueueBackend,
  order: Order,
  key: string,
): Promise<void> {
  await queue.publish(key, order);
  await queue.publish('orders.created', { anything: ['goes'] });
  // @ts-expect-error - a payload has to be an object
  await queue.publish('orders.created', 'text');
  for await (const payload of queue.consume()) expectTypeOf(payload).toEqualTypeOf<object>();
  expectTypeOf(new MemoryBackend()).toEqualTypeOf<MemoryBackend<AnyEvents>>();
}

export function aTypedQueueGoesWhereAnyQueueDoes(
  shop: MemoryBackend<ShopEvents>,
  literal: QueueBackend<LiteralEvents>,
): void {
  const any = (queue: QueueBackend) => queue.name;
  any(shop);
  any(literal);
  const typed = (queue: QueueBackend<ShopEvents>) => queue.name;
  typed(shop);
  // @ts-expect-error - other events
  typed(literal);
}

// @ts-expect-error - a payload has to be an object
export type PayloadsAreObjects = QueueBackend<{ count: number }>;
