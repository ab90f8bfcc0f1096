import { concatMap, from, lastValueFrom, toArray } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  AsyncLoopConsumer,
  handle,
  inBatches,
  intercept,
  MemoryBackend,
  publishTo,
  receive,
  viewDelivery,
} from 'sluice';
import { validated } from 'sluice/schema';
import { fakeBackend } from 'sluice/testing';
import { z } from 'zod';
import { ORDER, type Order, orderSchemas, schemaOf } from '../support/schemas.js';

const INVALID = { ...ORDER, id: 'hunter2' };
const AT = new Date(ORDER.at);

/** A queue with a valid message, two that consumers must not see, and another valid one; closed, so that its streams end. */
async function filled(): Promise<MemoryBackend> {
  const queue = new MemoryBackend({ name: 'orders' });
  for (const [key, payload] of [
    ['order', ORDER],
    ['order', INVALID],
    ['constructor', ORDER],
    ['order', { ...ORDER, id: 2 }],
  ] as const)
    await queue.publish(key, payload);
  await queue.close();
  return queue;
}

describe.each(Object.entries(orderSchemas))('The deliveries of a validated queue, with %s', (_, schema) => {
  const open = async () => {
    const failed = new MemoryBackend();
    return { failed, queue: validated(await filled(), { order: schema }, { deadLetter: failed }) };
  };
  const seen = ({ id, at }: Order) => [id, at];
  const expected = [
    [1, AT],
    [2, AT],
  ];

  it('have the output of the schema, in order, for a subscriber', async () => {
    const { queue, failed } = await open();
    const orders: unknown[] = [];
    queue.deliveries().subscribe((delivery) => {
      orders.push(seen(delivery.payload));
      void delivery.ack();
    });
    // Within the call.
    expect(orders).toEqual(expected);
    expect(failed.size).toBe(2);
    await queue.join();
  });

  it('… for iterations', async () => {
    const orders: unknown[] = [];
    for await (const { payload } of (await open()).queue.deliveries()) orders.push(seen(payload));
    for await (const payload of (await open()).queue.consume()) orders.push(seen(payload));
    expect(orders).toEqual([...expected, ...expected]);
  });

  it('… for receive', async () => {
    const { queue } = await open();
    const orders: unknown[] = [];
    for (let count = 0; count < 2; count++) {
      const { payload, ...delivery } = await receive(queue).then((one) => ({
        payload: one.payload,
        ack: () => one.ack(),
      }));
      orders.push(seen(payload));
      expect(await delivery.ack()).toBe(true);
    }
    expect(orders).toEqual(expected);
    await queue.join();
  });

  it('… for handle and batches', async () => {
    const handled = (await open()).queue.deliveries().pipe(
      handle(({ payload }) => seen(payload)),
      toArray(),
    );
    expect(await lastValueFrom(handled)).toEqual(expected);
    const batched = (await open()).queue.deliveries().pipe(
      inBatches({ maxSize: 2, maxWait: 5000 }),
      concatMap(async (batch) => {
        await batch.ack();
        return batch.deliveries.map(({ payload }) => seen(payload));
      }),
    );
    expect(await lastValueFrom(batched)).toEqual(expected);
  });

  it('… for AsyncLoopConsumer', async () => {
    const { queue, failed } = await open();
    const orders: unknown[] = [];
    await new AsyncLoopConsumer(queue).run((payload, delivery) => {
      orders.push(seen(payload));
      expect(delivery.payload).toBe(payload);
    });
    expect(orders).toEqual(expected);
    expect(await failed.peek()).toMatchObject([
      {
        key: 'order',
        payload: INVALID,
        headers: {
          'sluice-error': 'InvalidMessageError: Expected `payload.id` to be a number, got a string',
          'sluice-attempts': '1',
          'sluice-queue': 'orders',
          'sluice-group': 'default',
        },
      },
      { key: 'constructor', headers: { 'sluice-error': expect.stringContaining('`key`') } },
    ]);
  });

  it('… with publishTo, which takes the input', async () => {
    const queue = validated(new MemoryBackend(), { order: schema });
    await lastValueFrom(from([ORDER]).pipe(publishTo(queue, (order) => ['order', order])));
    expect((await receive(queue)).payload.at).toEqual(AT);
  });
});

describe('The deliveries of a validated queue', () => {
  it('are the deliveries of the queue if the schema changes nothing', async () => {
    const memory = new MemoryBackend();
    const queue = validated(memory, { order: schemaOf((value) => ({ value })) });
    const payload = { id: 1 };
    await queue.publish('order', payload);
    const delivery = await receive(queue);
    expect(delivery.payload).toBe(payload);
    expect(Object.getPrototypeOf(delivery)).not.toBe(Object.prototype);
  });

  it("pass with any key with `unknownKeys: 'pass'`", async () => {
    const memory = new MemoryBackend();
    await memory.publish('constructor', { any: 'thing' });
    const queue = validated(memory, { order: orderSchemas.zod }, { unknownKeys: 'pass' });
    expect(await receive(queue)).toMatchObject({ key: 'constructor', payload: { any: 'thing' } });
  });

  it('run a transform once for each delivery', async () => {
    const transform = jest.fn((n: number) => n + 1);
    const queue = validated(new MemoryBackend(), { count: z.object({ n: z.number().transform(transform) }) });
    await queue.publish('count', { n: 1 });
    expect((await receive(queue)).payload).toEqual({ n: 2 });
    // Once on each side.
    expect(transform).toHaveBeenCalledTimes(2);
  });

  it('keep their order with an asynchronous schema, and wait for no ack', async () => {
    const release: (() => void)[] = [];
    const schema = schemaOf(async (value) => {
      await new Promise<void>((resolve) => release.push(resolve));
      return { value };
    });
    const memory = new MemoryBackend();
    for (const n of [1, 2, 3]) await memory.publish('count', { n });
    const seen: unknown[] = [];
    validated(memory, { count: schema })
      .deliveries({ prefetch: 3 })
      .subscribe(({ payload }) => seen.push(payload));
    expect(release).toHaveLength(3);
    for (const resolve of release.reverse()) {
      expect(seen).toEqual([]);
      resolve();
      await new Promise(setImmediate);
    }
    expect(seen).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('take effect within the call under virtual time', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    scheduler.run(({ cold, expectObservable }) => {
      const queue = validated(
        new MemoryBackend({ scheduler }),
        { count: z.object({ n: z.string().transform(Number) }) },
        { deadLetter: new MemoryBackend({ scheduler }) },
      );
      const counts = queue.deliveries({ prefetch: 1 }).pipe(handle(({ payload }) => payload.n, { scheduler }));
      expectObservable(counts, '------!').toBe('a-b---', { a: 1, b: 2 });
      cold('a-b-c', { a: '1', b: '2', c: 3 as never }).subscribe(
        (n) => void queue.publish('count', { n }).catch(() => {}),
      );
    });
  });

  it('work with a fake backend', async () => {
    const fake = fakeBackend([
      ['order', ORDER],
      ['order', INVALID],
    ]);
    const failed = fakeBackend([]);
    const queue = validated(fake, { order: orderSchemas.valibot }, { deadLetter: failed });
    expect(await lastValueFrom(queue.deliveries().pipe(handle(({ payload }) => payload.at)))).toEqual(AT);
    expect(failed.published).toMatchObject([{ key: 'order', payload: INVALID }]);
    expect(fake.settlements.map(({ how }) => how)).toEqual(['acked', 'acked']);
  });

  it('nest with other interceptors: a dead letter is the message as it is stored', async () => {
    const failed = new MemoryBackend();
    const coded = intercept(new MemoryBackend(), {
      publish: (message, next) => next({ ...message, payload: { coded: JSON.stringify(message.payload) } }),
      deliver: (delivery) =>
        viewDelivery(delivery, { payload: JSON.parse((delivery.payload as { coded: string }).coded) as object }),
    });
    const seen: unknown[] = [];
    const traced = intercept(validated(coded, { order: orderSchemas.zod }, { deadLetter: failed }), {
      deliver(delivery) {
        seen.push(delivery.payload);
        return delivery;
      },
    });
    await coded.publish('order', INVALID);
    await traced.publish('order', ORDER);
    expect((await receive(traced)).payload.at).toEqual(AT);
    expect(seen).toEqual([{ ...ORDER, at: AT }]);
    expect(await failed.peek()).toMatchObject([{ payload: { coded: JSON.stringify(INVALID) } }]);
  });
});
