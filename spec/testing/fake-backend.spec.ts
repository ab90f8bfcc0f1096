import { lastValueFrom, map, take, toArray } from 'rxjs';
import { AsyncLoopConsumer, handle, type QueueBackend, QueueClosedError } from 'sluice';
import { type FakeMessage, fakeBackend } from 'sluice/testing';
import { drain, full, Holder, upTo } from '../support/consumers.js';
import { rejectionOf, thrownBy } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';

interface OrderEvents {
  'orders.placed': { readonly n: number };
  'orders.paid': { readonly cents: number };
}

const numbers = (count: number): FakeMessage[] => upTo(count).map((n) => ['number', { n }]);

describe('fakeBackend', () => {
  it('delivers each message once, in order, and records the settlements', async () => {
    const queue = fakeBackend(numbers(4));
    const holder = new Holder(queue, { group: 'billing' });
    expect(holder.numbers).toEqual(upTo(4));
    expect(await holder.of(1).ack()).toBe(true);
    expect(await holder.of(2).nack({ delay: 500 })).toBe(true);
    expect(await holder.of(3).release()).toBe(true);
    expect(holder.completed).toBe(false);
    expect(await holder.of(4).reject('broken')).toBe(true);
    expect(holder.completed).toBe(true);
    const common = { key: 'number', attempt: 1, group: 'billing' };
    expect(queue.settlements).toEqual([
      { ...common, id: 'fake-1', payload: { n: 1 }, how: 'acked' },
      { ...common, id: 'fake-2', payload: { n: 2 }, how: 'retried', delay: 500 },
      { ...common, id: 'fake-3', payload: { n: 3 }, how: 'released' },
      { ...common, id: 'fake-4', payload: { n: 4 }, how: 'rejected', reason: 'broken' },
    ]);
  });

  it('delivers the fields of a message', () => {
    const message = {
      key: 'order',
      payload: { n: 1 },
      headers: { trace: 'a' },
      attempt: 3,
      id: 'seven',
      publishedAt: 7,
    };
    const [first, second] = new Holder(fakeBackend([message, ['order', { n: 2 }]], { name: 'orders' })).deliveries;
    expect(first).toMatchObject({ ...message, queue: 'orders', settled: false });
    expect(second).toMatchObject({ key: 'order', payload: { n: 2 }, headers: {}, attempt: 1, id: 'fake-2' });
  });

  it('accepts messages of typed events', async () => {
    const queue = fakeBackend<OrderEvents>([
      ['orders.placed', { n: 1 }],
      { key: 'orders.paid', payload: { cents: 5 } },
      // @ts-expect-error the payload is that of another key
      ['orders.paid', { n: 1 }],
    ]);
    await queue.publish('orders.paid', { cents: 7 });
    const typed: QueueBackend<OrderEvents> = queue;
    expect(typed.name).toBe('fake');
    expect(queue.published).toEqual([{ key: 'orders.paid', payload: { cents: 7 }, headers: {}, delay: 0 }]);
  });

  it('counts only the first settlement', async () => {
    const queue = fakeBackend(numbers(1));
    const delivery = new Holder(queue).of(1);
    expect([await delivery.ack(), await delivery.nack(), await delivery.reject()]).toEqual([true, false, false]);
    expect(delivery.settled).toBe('acked');
    expect(queue.settlements).toHaveLength(1);
  });

  it('delivers no more than the prefetch and serves consumers in turn', async () => {
    const queue = fakeBackend(numbers(6));
    expect(queue.deliveries().prefetch).toBe(32);
    const first = new Holder(queue, { prefetch: 2 });
    const second = new Holder(queue, { prefetch: 3 });
    expect([first.numbers, second.numbers]).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 6 });
    await first.of(1).ack();
    expect(first.numbers).toEqual([1, 2, 6]);
    for (const delivery of [...first.held, ...second.held]) await delivery.ack();
    expect([first.completed, second.completed]).toEqual([true, true]);
  });

  it('records unsettled deliveries when a consumer unsubscribes and does not redeliver them', async () => {
    const queue = fakeBackend(numbers(3));
    const first = new Holder(queue, { prefetch: 2 });
    first.subscription.unsubscribe();
    expect(queue.settlements.map(({ payload, how }) => [payload, how])).toEqual([
      [{ n: 1 }, 'retried'],
      [{ n: 2 }, 'retried'],
    ]);
    expect(new Holder(queue).numbers).toEqual([3]);
  });

  it('delivers no more to a subscriber that unsubscribes inside next', async () => {
    const queue = fakeBackend(numbers(3));
    expect(
      await lastValueFrom(
        queue.deliveries().pipe(
          take(1),
          map(({ payload }) => payload),
        ),
      ),
    ).toEqual({ n: 1 });
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
  });

  it('stops the intake on an abort and leaves no listener', async () => {
    const queue = fakeBackend(numbers(3));
    const controller = new AbortController();
    const holder = new Holder(queue, { prefetch: 1, signal: controller.signal });
    controller.abort();
    await holder.of(1).ack();
    expect([holder.numbers, holder.completed]).toEqual([[1], true]);
    expect(listenersOf(controller.signal)).toBe(0);
    const late = new Holder(queue, { signal: controller.signal });
    expect([late.numbers, late.completed]).toEqual([[], true]);
  });

  it('acknowledges deliveries that a loop body did not settle', async () => {
    const queue = fakeBackend(numbers(3));
    for await (const delivery of queue.deliveries()) if (delivery.id === 'fake-2') await delivery.reject();
    expect(queue.settlements.map(({ how }) => how)).toEqual(['acked', 'rejected', 'acked']);
    expect(await drain(fakeBackend(numbers(2)).consume())).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it('records the settlements when a loop exits', async () => {
    const deliveries = fakeBackend(numbers(2));
    for await (const _ of deliveries.deliveries({ prefetch: 2 })) break;
    expect(deliveries.settlements.map(({ id, how }) => [id, how])).toEqual([
      ['fake-2', 'released'],
      ['fake-1', 'retried'],
    ]);
    const payloads = fakeBackend(numbers(2));
    for await (const _ of payloads.consume()) break;
    expect(payloads.settlements.map(({ id, how }) => [id, how])).toEqual([['fake-1', 'acked']]);
  });

  it.each(['deliveries', 'consume'] as const)(
    'lets a loop body over %s() finish after an abort and releases prefetched messages',
    async (face) => {
      const queue = fakeBackend(numbers(4));
      const controller = new AbortController();
      const seen: object[] = [];
      for await (const item of queue[face]({ prefetch: 3, signal: controller.signal })) {
        seen.push(item);
        controller.abort();
        expect(queue.settlements.map(({ id, how }) => [id, how])).toEqual([
          ['fake-2', 'released'],
          ['fake-3', 'released'],
        ]);
      }
      expect(seen).toHaveLength(1);
      expect(queue.settlements.slice(2).map(({ id, how }) => [id, how])).toEqual([['fake-1', 'acked']]);
      expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
      expect(listenersOf(controller.signal)).toBe(0);
    },
  );

  it('delivers nothing to a loop with an aborted signal, and ends a waiting next() on an abort', async () => {
    const queue = fakeBackend(numbers(1));
    expect(await drain(queue.consume({ signal: AbortSignal.abort() }))).toEqual([]);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    const holder = new Holder(queue);
    const controller = new AbortController();
    const pending = queue.consume({ signal: controller.signal }).next();
    controller.abort();
    expect(await pending).toEqual({ done: true, value: undefined });
    await holder.of(1).ack();
  });

  it('releases the prefetched messages of a loop at close()', async () => {
    const queue = fakeBackend(numbers(3));
    const payloads = queue.consume({ prefetch: 2 });
    expect(await payloads.next()).toEqual({ done: false, value: { n: 1 } });
    await queue.close();
    expect(await payloads.next()).toEqual({ done: true, value: undefined });
    expect(queue.settlements.map(({ id, how }) => [id, how])).toEqual([
      ['fake-2', 'released'],
      ['fake-1', 'retried'],
    ]);
  });

  it('ends its iterators with return(), throw() and Symbol.asyncDispose', async () => {
    const queue = fakeBackend(numbers(1));
    const holder = new Holder(queue);
    const waiting = full(queue.consume());
    const pending = [waiting.next(), waiting.next()];
    expect(await waiting.return('bye')).toEqual({ done: true, value: 'bye' });
    expect(await Promise.all(pending)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    const disposed = full(queue.deliveries()[Symbol.asyncIterator]());
    await disposed[Symbol.asyncDispose]();
    expect(await disposed.next()).toEqual({ done: true, value: undefined });
    expect(await rejectionOf(full(queue.consume()).throw('thrown'))).toBe('thrown');
    await holder.of(1).ack();
  });

  it('resolves concurrent next() calls with one message each', async () => {
    const payloads = fakeBackend(numbers(3)).consume();
    const results = await Promise.all([payloads.next(), payloads.next(), payloads.next(), payloads.next()]);
    expect(results.map(({ value }) => value)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, undefined]);
  });

  it('records published messages, and rejects if `onPublish` throws', async () => {
    const onPublish = ({ key }: { key: string }) => {
      if (key === 'bad') throw new Error('unavailable');
    };
    const queue = fakeBackend([], { onPublish });
    const headers = { trace: 'a' };
    await queue.publish('order', { n: 1 }, { headers, delay: 50 });
    headers.trace = 'b';
    await queue.publish('order', { n: 2 }, { group: 'billing', id: 'order-2' });
    expect(await rejectionOf(queue.publish('bad', {}))).toMatchObject({ message: 'unavailable' });
    expect(await rejectionOf(queue.publish('order', {}, { signal: AbortSignal.abort('off') }))).toBe('off');
    expect(queue.published).toStrictEqual([
      { key: 'order', payload: { n: 1 }, headers: { trace: 'a' }, delay: 50 },
      { key: 'order', payload: { n: 2 }, headers: {}, delay: 0, group: 'billing', id: 'order-2' },
    ]);
    expect(new Holder(queue).numbers).toEqual([]);
  });

  it('records a copy of the published payload', async () => {
    const queue = fakeBackend();
    const at = new Date(0);
    const payload: { n: number; list: object[]; at: Date; self?: object } = { n: 1, list: [{ n: 1 }], at };
    payload.self = payload;
    await queue.publish('order', payload);
    payload.n = 2;
    payload.list.push({ n: 2 });
    Object.assign(payload.list[0] as object, { n: 3 });
    const recorded = queue.published[0]?.payload as typeof payload;
    expect(recorded).toMatchObject({ n: 1, list: [{ n: 1 }] });
    expect([recorded.list.length, recorded.at === at, recorded.self === recorded]).toEqual([1, true, true]);
  });

  it.each([
    ['a prefetch of 0', 'RangeError', '`prefetch`', () => fakeBackend().deliveries({ prefetch: 0 })],
    [
      'a prefetch that is not a number',
      'RangeError',
      '`prefetch`',
      () => fakeBackend().consume({ prefetch: Number.NaN }),
    ],
    ['an empty group', 'RangeError', '`group`', () => fakeBackend().deliveries({ group: '' })],
    ['a group that is not a string', 'TypeError', '`group`', () => fakeBackend().consume({ group: 5 as never })],
    [
      'a signal that is not an AbortSignal',
      'TypeError',
      '`signal`',
      () => fakeBackend().deliveries({ signal: {} as never }),
    ],
    ['null as options', 'TypeError', '`options`', () => fakeBackend([], null as never)],
    ['an empty name', 'RangeError', '`name`', () => fakeBackend([], { name: '' })],
    [
      'a callback that is not a function',
      'TypeError',
      '`onPublish`',
      () => fakeBackend([], { onPublish: 'no' as never }),
    ],
  ])('throws for %s', (_, name, part, call) => {
    expect(thrownBy(call)).toMatchObject({ name, message: expect.stringContaining(part) });
  });

  it('rejects an invalid delay, and the delivery stays in flight', async () => {
    const queue = fakeBackend(numbers(1));
    const delivery = new Holder(queue).of(1);
    expect(await rejectionOf(delivery.nack({ delay: Number.NaN }))).toMatchObject({
      name: 'RangeError',
      message: expect.stringContaining('`delay`'),
    });
    expect(await rejectionOf(queue.publish('order', {}, { delay: -1 }))).toMatchObject({ name: 'RangeError' });
    expect(await rejectionOf(queue.publish('order', {}, { group: '' }))).toMatchObject({ name: 'RangeError' });
    expect(await rejectionOf(queue.publish('order', {}, { id: '' }))).toMatchObject({ name: 'RangeError' });
    expect([delivery.settled, queue.settlements, queue.published]).toEqual([false, [], []]);
  });

  it('ends its streams at close(), even with deliveries in flight', async () => {
    const queue = fakeBackend(numbers(3));
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.close();
    await queue.close();
    expect([queue.closed, holder.completed]).toEqual([true, true]);
    expect(QueueClosedError.is(await rejectionOf(queue.publish('order', {})))).toBe(true);
    expect(new Holder(queue).completed).toBe(true);
    const disposed = fakeBackend();
    await disposed[Symbol.asyncDispose]();
    expect(disposed.closed).toBe(true);
  });

  it('works with handle() and records retries with their delay, and dead letters after the last attempt', async () => {
    const queue = fakeBackend([...numbers(2), { key: 'number', payload: { n: 3 }, attempt: 2 }]);
    const dead = fakeBackend();
    const results = queue.deliveries().pipe(
      handle(
        ({ payload }) => {
          const { n } = payload as { n: number };
          if (n > 1) throw new Error(`failed ${n}`);
          return n;
        },
        { retry: { count: 1, delay: 1234 }, deadLetter: dead, logger: silentLogger },
      ),
      toArray(),
    );
    expect(await lastValueFrom(results)).toEqual([1]);
    expect(queue.settlements.map(({ id, how, delay }) => [id, how, delay])).toEqual([
      ['fake-1', 'acked', undefined],
      ['fake-2', 'retried', 1234],
      ['fake-3', 'acked', undefined],
    ]);
    expect(dead.published).toMatchObject([
      { payload: { n: 3 }, headers: { 'sluice-error': 'Error: failed 3', 'sluice-attempts': '2' } },
    ]);
  });

  it('works with AsyncLoopConsumer, which stops after the last message', async () => {
    const queue = fakeBackend(numbers(3));
    const handled: object[] = [];
    await new AsyncLoopConsumer(queue, { group: 'billing' }).run(async (payload) => void handled.push(payload));
    expect(handled).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(queue.settlements.map(({ how, group }) => `${group} ${how}`)).toEqual([
      'billing acked',
      'billing acked',
      'billing acked',
    ]);
  });

  it.each([[{ key: 'order' }], [null], [5], [['order', [1]]], [{ key: 5, payload: {} }]])(
    'throws for %j, which is not a message, and names its index',
    (message) => {
      expect(thrownBy(() => fakeBackend([['order', {}], message as never]))).toMatchObject({
        name: 'TypeError',
        message: expect.stringContaining('`messages[1]`'),
      });
    },
  );
});
