/**
 * Compiled by the spec beside it, never run. Each `@ts-expect-error` marks code that must not
 * compile.
 */
import { type } from 'arktype';
import { expectTypeOf } from 'expect-type';
import { from } from 'rxjs';
import {
  AsyncLoopConsumer,
  type Delivery,
  handle,
  inBatches,
  intercept,
  type ManagedQueue,
  type MemoryBackend,
  publishTo,
  type QueueBackend,
  receive,
  route,
} from 'sluice';
import type { PostgresBackend, Queryable } from 'sluice/postgres';
import {
  type MessageIssue,
  type SchemaInput,
  type SchemaOutput,
  type StandardSchemaV1,
  type ValidatedQueue,
  validated,
} from 'sluice/schema';
import * as v from 'valibot';
import { z } from 'zod';
import type { ShopEvents } from './shop-events.js';

/** A schema of each library. The first two have another input than output. */
const schemas = {
  'orders.created': z.object({ id: z.number(), at: z.iso.datetime().transform((text) => new Date(text)) }),
  'orders.cancelled': v.object({
    id: v.pipe(
      v.string(),
      v.transform((text) => Number(text)),
    ),
    reason: v.optional(v.string(), 'none'),
  }),
  'orders.shipped': type({ weight: 'number', 'carrier?': 'string' }),
};

type Inputs = {
  'orders.created': { id: number; at: string };
  'orders.cancelled': { id: string; reason?: string | undefined };
  'orders.shipped': { weight: number; carrier?: string };
};

type Outputs = {
  'orders.created': { id: number; at: Date };
  'orders.cancelled': { id: number; reason: string };
  'orders.shipped': { weight: number; carrier?: string };
};

export function theTypesComeFromTheSchemas(): void {
  expectTypeOf<SchemaInput<typeof schemas>>().toEqualTypeOf<Inputs>();
  expectTypeOf<SchemaOutput<typeof schemas>>().toEqualTypeOf<Outputs>();
}

export async function publishTakesTheInputTypes(memory: MemoryBackend): Promise<void> {
  const queue = validated(memory, schemas);
  await queue.publish('orders.created', { id: 1, at: '2026-01-01T00:00:00Z' });
  await queue.publish('orders.cancelled', { id: '1' }, { headers: { trace: '1' } });
  await queue.publish('orders.shipped', { weight: 5 });
  from([1])
    .pipe(publishTo(queue, (weight) => ['orders.shipped', { weight }]))
    .subscribe();

  // @ts-expect-error - the output type
  await queue.publish('orders.created', { id: 1, at: new Date() });
  // @ts-expect-error - the payload of another key
  await queue.publish('orders.cancelled', { weight: 5 });
  // @ts-expect-error - a wrong type
  await queue.publish('orders.shipped', { weight: '5' });
  // @ts-expect-error - no such key
  await queue.publish('orders.paid', { id: 1 });
  // @ts-expect-error - the output type
  from([1]).pipe(publishTo(queue, (id) => ['orders.cancelled', { id, reason: '' }]));
}

export async function deliveriesHaveTheOutputTypes(memory: MemoryBackend): Promise<void> {
  const queue = validated(memory, schemas);
  expectTypeOf(await receive(queue)).toEqualTypeOf<Delivery<Outputs>>();
  for await (const payload of queue.consume()) expectTypeOf(payload).toEqualTypeOf<Outputs[keyof Outputs]>();
  for await (const delivery of queue.deliveries({ group: 'audit' })) {
    if (delivery.key === 'orders.created') expectTypeOf(delivery.payload.at).toEqualTypeOf<Date>();
    if (delivery.key === 'orders.cancelled') expectTypeOf(delivery.payload.id).toEqualTypeOf<number>();
    if (delivery.key === 'orders.shipped') expectTypeOf(delivery.payload.weight).toEqualTypeOf<number>();
    // @ts-expect-error - no such key
    if (delivery.key === 'orders.paid') void delivery;
  }
  queue
    .deliveries()
    .pipe(
      handle(
        route({
          'orders.created': ({ payload }) => expectTypeOf(payload.at).toEqualTypeOf<Date>(),
          'orders.cancelled': ({ payload }) => expectTypeOf(payload.reason).toEqualTypeOf<string>(),
        }),
        { deadLetter: queue },
      ),
    )
    .subscribe();
  queue
    .deliveries()
    .pipe(inBatches({ maxSize: 10, maxWait: 50 }))
    .subscribe(({ deliveries }) => expectTypeOf(deliveries[0]).toEqualTypeOf<Delivery<Outputs> | undefined>());
  const consumer = new AsyncLoopConsumer(queue, { orderBy: ({ key }) => key, deadLetter: memory });
  await consumer.run((payload, delivery) => {
    expectTypeOf(payload).toEqualTypeOf<Outputs[keyof Outputs]>();
    expectTypeOf(delivery).toEqualTypeOf<Delivery<Outputs>>();
  });
}

export async function theOtherMembersStay(
  memory: MemoryBackend,
  postgres: PostgresBackend,
  transaction: Queryable,
): Promise<void> {
  const queue = validated(memory, schemas);
  await queue.join();
  expectTypeOf(queue.size).toEqualTypeOf<number>();
  await queue[Symbol.asyncDispose]();
  const stored = validated(postgres, schemas);
  await stored.groups();
  await stored.within(transaction).publish('orders.shipped', { weight: 5 }, { delay: 5 });
  // @ts-expect-error - a wrong type
  await stored.within(transaction).publish('orders.shipped', { weight: '5' });
}

export function aValidatedQueueGoesWhereAnyQueueDoes(shop: MemoryBackend<ShopEvents>, backend: QueueBackend): void {
  const any = (queue: QueueBackend) => queue.name;
  const managed = (queue: ManagedQueue) => queue.name;
  any(validated(shop, schemas));
  any(validated(backend, schemas, { unknownKeys: 'pass' }));
  managed(validated(shop, schemas));
  const intercepted = intercept(validated(shop, schemas), {});
  expectTypeOf(intercepted).toEqualTypeOf<ValidatedQueue<MemoryBackend<ShopEvents>, typeof schemas>>();
  expectTypeOf(intercepted.deliveries).toEqualTypeOf<QueueBackend<Outputs>['deliveries']>();
  const same = validated(backend, { 'orders.created': z.object({ id: z.number() }) });
  const typed: QueueBackend<{ 'orders.created': { id: number } }> = same;
  any(typed);
}

export async function otherKeysPass(memory: MemoryBackend): Promise<void> {
  const queue = validated(memory, schemas, { unknownKeys: 'pass' });
  await queue.publish('orders.paid', { any: 'thing' });
  await queue.publish('orders.shipped', { weight: 5 }, { delay: 5 });
  // @ts-expect-error - a wrong type
  await queue.publish('orders.shipped', { weight: '5' });
  // @ts-expect-error - a payload has to be an object
  await queue.publish('orders.paid', 5);
  expectTypeOf(await receive(queue)).toEqualTypeOf<Delivery>();
  await new AsyncLoopConsumer(queue).run((payload) => expectTypeOf(payload).toEqualTypeOf<object>());
  // @ts-expect-error - no such choice
  validated(memory, schemas, { unknownKeys: 'ignore' });
}

export function optionsAreTyped(memory: MemoryBackend): void {
  validated(memory, schemas, { deadLetter: memory, logger: console });
  validated(memory, schemas, {
    deadLetter: (delivery, error) => {
      expectTypeOf(delivery).toEqualTypeOf<Delivery>();
      expectTypeOf(error.issues).toEqualTypeOf<readonly MessageIssue[]>();
    },
  });
  // @ts-expect-error - a text is no dead-letter queue
  validated(memory, schemas, { deadLetter: 'failed' });
}

export function schemasAreOfObjects(memory: MemoryBackend, unknown: StandardSchemaV1<unknown, { id: number }>): void {
  const queue = validated(memory, { any: unknown });
  expectTypeOf(queue.publish).toEqualTypeOf<QueueBackend<{ any: object }>['publish']>();
  // @ts-expect-error - no object
  validated(memory, { text: z.string() });
  // @ts-expect-error - no object
  validated(memory, { text: v.string() });
  // @ts-expect-error - no object
  validated(memory, { text: type('string') });
  // @ts-expect-error - no schema
  validated(memory, { text: { parse: () => ({}) } });
}
