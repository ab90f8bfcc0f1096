import type { Subscription } from 'rxjs';
import { type Delivery, MemoryBackend } from 'sluice';
import { drain, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { outcomeOf, stateOf, turns } from '../support/promises.js';
import { VirtualClock } from '../support/virtual-clock.js';

describe('MemoryBackend', () => {
  it('delivers messages published before there was a consumer', async () => {
    const queue = new MemoryBackend();
    await Promise.all(publishAll(queue, upTo(3)));
    expect(await pull(queue.consume(), 3)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('delivers synchronously in publish() to a subscriber with credit', () => {
    const queue = new MemoryBackend();
    const holder = new Holder(queue);
    void queue.publish('number', { n: 1 });
    expect(holder.numbers).toEqual([1]);
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 1, 1]);
  });

  it('delivers waiting messages synchronously in subscribe()', () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(3));
    expect(new Holder(queue, { prefetch: 2 }).numbers).toEqual([1, 2]);
  });

  it('delivers the next message synchronously in ack()', () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(3));
    const holder = new Holder(queue, { prefetch: 1 });
    void holder.of(1).ack();
    expect(holder.numbers).toEqual([1, 2]);
  });

  it('keeps the publish order for one consumer', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(500));
    const consumer = queue.consume();
    const first = await pull(consumer, 250);
    void publishAll(queue, [501, 502]);
    expect([...first, ...(await pull(consumer, 252))].map(numberOf)).toEqual(upTo(502));
  });

  it('resolves publish() with undefined once the message is stored', async () => {
    const queue = new MemoryBackend();
    expect(await outcomeOf(queue.publish('number', { n: 1 }))).toEqual({ state: 'fulfilled', value: undefined });
  });

  it('delivers the published payload itself', async () => {
    const queue = new MemoryBackend();
    const payload = { nested: { list: [1, 2, 3] } };
    void queue.publish('any', payload);
    expect(await pull(queue.consume(), 1)).toEqual([payload]);
  });

  it('rejects a publish whose signal is already aborted', async () => {
    const queue = new MemoryBackend();
    const published = queue.publish('number', { n: 1 }, { signal: AbortSignal.abort('no') });
    expect(await outcomeOf(published)).toEqual({ state: 'rejected', reason: 'no' });
    expect(queue.size).toBe(0);
  });

  it('takes its name from the options', () => {
    expect(new MemoryBackend({ name: 'orders' }).name).toBe('orders');
    expect(new MemoryBackend().name).not.toBe('');
  });

  it('shares no messages with another queue of the same name', () => {
    const [one, other] = [new MemoryBackend({ name: 'orders' }), new MemoryBackend({ name: 'orders' })];
    void publishAll(one, [1]);
    expect([one.size, other.size]).toEqual([1, 0]);
  });

  it('takes no message before it is iterated or subscribed to', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1]);
    queue.consume();
    queue.consume({ prefetch: 8 })[Symbol.asyncIterator]();
    queue.deliveries();
    queue.deliveries()[Symbol.asyncIterator]();
    queue.deliveries().pipe();
    await turns();
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });
});

describe('A delivery', () => {
  it('has the data of the publish, the queue and the time', () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ name: 'orders', scheduler: clock.scheduler });
    clock.advance(42);
    void queue.publish('orders.created', { total: 5 }, { headers: { trace: 'abc' } });
    const [delivery] = new Holder(queue).deliveries;
    expect(delivery).toMatchObject({
      queue: 'orders',
      key: 'orders.created',
      payload: { total: 5 },
      headers: { trace: 'abc' },
      attempt: 1,
      publishedAt: 42,
      settled: false,
    });
  });

  it('has no headers if none were given', () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1]);
    expect(new Holder(queue).of(1).headers).toEqual({});
  });

  it('keeps its headers if the publisher changes the object', () => {
    const queue = new MemoryBackend();
    const headers = { trace: 'abc' };
    void queue.publish('number', { n: 1 }, { headers });
    headers.trace = 'changed';
    expect(new Holder(queue).of(1).headers).toEqual({ trace: 'abc' });
  });

  it('has a unique id that is a string', () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(100));
    const { deliveries } = new Holder(queue, { prefetch: 100 });
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(100);
    expect(deliveries.every(({ id }) => typeof id === 'string' && id.length > 0)).toBe(true);
  });

  it('keeps its id and publish time when it is redelivered', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    clock.advance(7);
    void publishAll(queue, [1]);
    const holder = new Holder(queue);
    const first = holder.of(1);
    await first.nack({ delay: 10 });
    clock.advance(10);
    const second = holder.of(1);
    expect(second).not.toBe(first);
    expect([second.id, second.publishedAt, second.attempt]).toEqual([first.id, 7, 2]);
  });
});

describe('Consumers of one queue', () => {
  it('receive each message once between them', async () => {
    const queue = new MemoryBackend();
    const consumers = upTo(8).map(() => drain(queue.consume()));
    await Promise.all(publishAll(queue, upTo(1000)));
    await queue.close();
    const seen = (await Promise.all(consumers)).flat().map(numberOf);
    expect(seen.toSorted((a, b) => a - b)).toEqual(upTo(1000));
  });

  it('are served in turn while they wait', () => {
    const queue = new MemoryBackend();
    const holders = upTo(3).map(() => new Holder(queue, { prefetch: 10 }));
    void publishAll(queue, upTo(6));
    expect(holders.map(({ numbers }) => numbers)).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
  });

  it('are skipped while they have no credit', () => {
    const queue = new MemoryBackend();
    const busy = new Holder(queue, { prefetch: 1 });
    const free = new Holder(queue, { prefetch: 10 });
    void publishAll(queue, upTo(4));
    expect([busy.numbers, free.numbers]).toEqual([[1], [2, 3, 4]]);
    void busy.of(1).ack();
    void publishAll(queue, [5, 6]);
    expect(busy.numbers.length).toBe(2);
  });

  it('pass their turn on when they unsubscribe', () => {
    const queue = new MemoryBackend();
    const [first, second, third] = [new Holder(queue), new Holder(queue), new Holder(queue)];
    void publishAll(queue, [1]);
    second.subscription.unsubscribe();
    void publishAll(queue, [2, 3]);
    expect([first.numbers, second.numbers, third.numbers]).toEqual([[1, 3], [], [2]]);
  });

  it('are served in the order of their next() calls', async () => {
    const queue = new MemoryBackend();
    const [first, second] = [queue.consume(), queue.consume()];
    const results = [first.next(), second.next()];
    void publishAll(queue, [1, 2]);
    expect((await Promise.all(results)).map(({ value }) => numberOf(value))).toEqual([1, 2]);
  });
});

describe('A publish from inside a subscriber', () => {
  it('is delivered when the handler returns, not before', () => {
    const queue = new MemoryBackend();
    const events: string[] = [];
    queue.deliveries().subscribe((delivery) => {
      const n = numberOf(delivery.payload);
      events.push(`begin ${n}`);
      if (n < 3) void publishAll(queue, [n + 1]);
      events.push(`end ${n}`);
    });
    void publishAll(queue, [1]);
    expect(events).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3']);
  });

  it('does not reach another subscriber before the handler returns', () => {
    const queue = new MemoryBackend();
    const events: string[] = [];
    const handle = (name: string) => (delivery: Delivery) => {
      const n = numberOf(delivery.payload);
      events.push(`${name} begin ${n}`);
      if (n === 1) void publishAll(queue, [2, 3]);
      events.push(`${name} end ${n}`);
    };
    queue.deliveries({ prefetch: 10 }).subscribe(handle('a'));
    queue.deliveries({ prefetch: 10 }).subscribe(handle('b'));
    void publishAll(queue, [1]);
    expect(events).toEqual(['a begin 1', 'a end 1', 'b begin 2', 'b end 2', 'a begin 3', 'a end 3']);
  });

  it('does not recurse through a resubscription', () => {
    const queue = new MemoryBackend();
    const events: string[] = [];
    let subscription: Subscription | undefined;
    const listen = () => {
      subscription = queue.deliveries().subscribe((delivery) => {
        const n = numberOf(delivery.payload);
        events.push(`begin ${n}`);
        void delivery.ack();
        if (n < 3) {
          void publishAll(queue, [n + 1]);
          subscription?.unsubscribe();
          listen();
        }
        events.push(`end ${n}`);
      });
    };
    listen();
    void publishAll(queue, [1]);
    expect(events).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3']);
  });

  it("is delivered after the message that the handler's ack let through", () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1, 2]);
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => {
      if (numberOf(delivery.payload) === 1) void publishAll(queue, [3]);
      void delivery.ack();
    });
    expect(holder.numbers).toEqual([1, 2, 3]);
  });

  it('is stored when its promise resolves', async () => {
    const queue = new MemoryBackend();
    let published: Promise<void> | undefined;
    const holder = new Holder(queue, {}, (delivery) => {
      if (numberOf(delivery.payload) === 1) published = queue.publish('number', { n: 2 });
    });
    void publishAll(queue, [1]);
    expect(await stateOf(published as Promise<void>)).toBe('fulfilled');
    expect(holder.numbers).toEqual([1, 2]);
  });
});
