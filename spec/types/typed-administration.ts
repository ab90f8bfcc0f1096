/**
 * Compiled by the spec beside it, never run. Each `@ts-expect-error` marks code that must not
 * compile.
 */
import { expectTypeOf } from 'expect-type';
import type { Observable } from 'rxjs';
import { type GroupInfo, type ManagedQueue, MemoryBackend, type MessageView, type QueueStatus } from 'sluice';
import type { BackendCapabilities, BackendNeeds } from 'sluice/testing';
import type { ShopEvents } from './shop-events.js';

export async function administrationIsTyped(queue: ManagedQueue): Promise<void> {
  expectTypeOf(await queue.groups()).toEqualTypeOf<GroupInfo[]>();
  expectTypeOf(await queue.deleteGroup('audit')).toEqualTypeOf<boolean>();
  expectTypeOf(await queue.peek({ group: 'audit', limit: 5 })).toEqualTypeOf<MessageView[]>();
  expectTypeOf(await queue.purge({ group: 'audit' })).toEqualTypeOf<number>();
  expectTypeOf(queue.status$).toEqualTypeOf<Observable<QueueStatus>>();

  // @ts-expect-error - the group is required
  await queue.deleteGroup();
  // @ts-expect-error - `limit` has to be a number
  await queue.peek({ limit: '5' });
  // @ts-expect-error - no such option
  await queue.purge({ limit: 5 });
}

export function aTypedBackendIsAManagedQueue(shop: MemoryBackend<ShopEvents>): void {
  const managed = (queue: ManagedQueue) => queue.name;
  managed(shop);
  managed(new MemoryBackend());
  expectTypeOf(shop).toExtend<ManagedQueue<ShopEvents>>();
}

export async function anIdIsAString(queue: ManagedQueue<ShopEvents>): Promise<void> {
  await queue.publish('orders.created', { id: 1 }, { id: 'order-1' });
  // @ts-expect-error - `id` has to be a string
  await queue.publish('orders.created', { id: 1 }, { id: 1 });
}

export function capabilitiesOfAdministrationAreFlags(): void {
  expectTypeOf<BackendNeeds['dedupeWindow']>().toEqualTypeOf<number | undefined>();
  const capabilities: BackendCapabilities = { dedupe: true, managed: true, peek: false };
  expectTypeOf(capabilities.peek).toEqualTypeOf<boolean | undefined>();
  // @ts-expect-error - `dedupe` has to be a boolean
  capabilities satisfies { dedupe: string };
}
