import { MemoryBackend, QueueClosedError, QueueOverflowError } from 'sluice';
import { drain, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';
import { CountingController, listenersOf } from '../support/signals.js';
import { VirtualClock } from '../support/virtual-clock.js';

const states = (promises: Promise<unknown>[]) => Promise.all(promises.map(stateOf));

/** Empties a queue and returns its waiting messages in order. */
const waitingIn = (queue: MemoryBackend): number[] => queue.clear().map(([, payload]) => numberOf(payload));

describe("A full queue with the policy 'wait'", () => {
  it('makes publish wait for free capacity', async () => {
    const queue = new MemoryBackend({ capacity: 2 });
    const published = publishAll(queue, upTo(3));
    expect(await states(published)).toEqual(['fulfilled', 'fulfilled', 'pending']);
    expect(queue.size).toBe(2);
    const holder = new Holder(queue, { prefetch: 1 });
    expect(queue.size).toBe(2);
    expect(await states(published)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    expect(holder.numbers).toEqual([1]);
  });

  it('admits waiting publishes first come, first served', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const published = publishAll(queue, upTo(4));
    const holder = new Holder(queue, { prefetch: 1 });
    expect(await states(published)).toEqual(['fulfilled', 'fulfilled', 'pending', 'pending']);
    void holder.of(1).ack();
    expect(await states(published)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'pending']);
    void holder.of(2).ack();
    void holder.of(3).ack();
    expect(holder.numbers).toEqual([1, 2, 3, 4]);
    expect(await states(published)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled']);
  });

  it('counts waiting messages but not those in flight', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const holder = new Holder(queue, { prefetch: 5 });
    expect(await states(publishAll(queue, upTo(7)))).toEqual([...Array(6).fill('fulfilled'), 'pending']);
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([1, 5, 6]);
    expect(holder.numbers).toEqual(upTo(5));
  });

  it.each(['wait', 'error', 'drop-newest'] as const)(
    "has capacity for the consumer's credit when its handler publishes (%s)",
    async (overflow) => {
      const queue = new MemoryBackend({ capacity: 1, overflow });
      const seen: number[] = [];
      const published: Promise<void>[] = [];
      queue.deliveries({ prefetch: 4 }).subscribe(({ payload }) => {
        const n = (payload as { n: number }).n;
        seen.push(n);
        if (n === 1) published.push(...publishAll(queue, [2, 3, 4]));
      });
      await queue.publish('number', { n: 1 });
      await Promise.all(published);
      expect([seen, queue.dropped]).toEqual([[1, 2, 3, 4], 0]);
    },
  );

  it('has capacity for messages that go straight to a waiting consumer', async () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'error' });
    const consumer = queue.consume();
    const results = [consumer.next(), consumer.next(), consumer.next()];
    expect(await states(publishAll(queue, upTo(3)))).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    expect((await Promise.all(results)).map(({ value }) => numberOf(value))).toEqual([1, 2, 3]);
  });

  it('counts delayed messages', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ capacity: 1, scheduler: clock.scheduler });
    const delayed = queue.publish('number', { n: 1 }, { delay: 10 });
    const next = queue.publish('number', { n: 2 });
    expect(await states([delayed, next])).toEqual(['fulfilled', 'pending']);
    const holder = new Holder(queue);
    clock.advance(10);
    expect(holder.numbers.toSorted()).toEqual([1, 2]);
    expect(await stateOf(next)).toBe('fulfilled');
  });

  it('admits a waiting publish as soon as a consumer waits for it', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ capacity: 1, scheduler: clock.scheduler });
    void queue.publish('number', { n: 1 }, { delay: 1000 });
    const waiting = publishAll(queue, [2, 3, 4]);
    const holder = new Holder(queue, { prefetch: 2 });
    expect(holder.numbers).toEqual([2, 3]);
    expect(await states(waiting)).toEqual(['fulfilled', 'fulfilled', 'pending']);
    void holder.of(2).ack();
    expect(holder.numbers).toEqual([2, 3, 4]);
    expect(queue.size).toBe(1);
  });

  it('may exceed its capacity by requeued messages and admits no publish meanwhile', async () => {
    const queue = new MemoryBackend({ capacity: 2 });
    const holder = new Holder(queue, { prefetch: 3 });
    const published = publishAll(queue, upTo(5));
    holder.subscription.unsubscribe();
    expect(queue.size).toBe(5);
    published.push(queue.publish('number', { n: 6 }));
    const consumer = queue.consume();
    expect((await pull(consumer, 3)).map(numberOf)).toEqual([1, 2, 3]);
    expect(await stateOf(published[5] as Promise<void>)).toBe('pending');
    await pull(consumer, 1);
    expect(await stateOf(published[5] as Promise<void>)).toBe('fulfilled');
    expect(queue.size).toBe(2);
  });

  it('never lets tryPublish overtake a waiting publish', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    expect(queue.tryPublish('number', { n: 1 })).toBe(true);
    expect(queue.tryPublish('number', { n: 99 })).toBe(false);
    void publishAll(queue, [2, 3]);
    const holder = new Holder(queue, { prefetch: 1 });
    expect(queue.tryPublish('number', { n: 99 })).toBe(false);
    void holder.of(1).ack();
    expect(queue.tryPublish('number', { n: 99 })).toBe(false);
    void holder.of(2).ack();
    expect(queue.tryPublish('number', { n: 4 })).toBe(true);
    void holder.of(3).ack();
    expect(queue.tryPublish('number', { n: 5 })).toBe(true);
    expect(queue.tryPublish('number', { n: 99 })).toBe(false);
    expect(holder.numbers).toEqual([1, 2, 3, 4]);
    expect(waitingIn(queue)).toEqual([5]);
  });

  it('never lets tryPublish overtake from inside a handler or an observer', () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const tried: boolean[] = [];
    void publishAll(queue, [1, 2, 3]);
    queue.published$.subscribe(() => tried.push(queue.tryPublish('late', { n: 99 })));
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => {
      void delivery.ack();
      if (numberOf(delivery.payload) < 3) tried.push(queue.tryPublish('late', { n: 98 }));
    });
    expect(holder.numbers.slice(0, 3)).toEqual([1, 2, 3]);
    expect(tried.length).toBeGreaterThan(2);
  });

  it('passes ten thousand messages through a capacity of 1 in order', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    let most = 0;
    const producer = (async () => {
      for (const n of upTo(10_000)) {
        await queue.publish('number', { n });
        most = Math.max(most, queue.size);
      }
      await queue.close();
    })();
    expect((await drain(queue.consume())).map(numberOf)).toEqual(upTo(10_000));
    await producer;
    expect(most).toBeLessThanOrEqual(1);
  });

  it('passes messages of many publishers to many consumers through a capacity of 1', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const consumers = upTo(3).map(() => drain(queue.consume()));
    await Promise.all(
      upTo(5).map(async (publisher) => {
        for (const n of upTo(100)) await queue.publish('number', { n: publisher * 1000 + n });
      }),
    );
    await queue.close();
    const seen = (await Promise.all(consumers)).flat().map(numberOf);
    expect(new Set(seen).size).toBe(500);
    expect(seen.length).toBe(500);
  });
});

describe('A waiting publish', () => {
  it('is not enqueued if it is aborted, and rejects with the reason', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const aborted = queue.publish('number', { n: 2 }, { signal: controller.signal });
    void publishAll(queue, [3]);
    controller.abort('changed my mind');
    expect(await rejectionOf(aborted)).toBe('changed my mind');
    const consumer = queue.consume();
    expect((await pull(consumer, 2)).map(numberOf)).toEqual([1, 3]);
    expect(queue.size).toBe(0);
  });

  it('can be retried after an abort without a duplicate', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const aborted = rejectionOf(queue.publish('number', { n: 2 }, { signal: controller.signal }));
    controller.abort();
    await aborted;
    void publishAll(queue, [2]);
    expect((await pull(queue.consume(), 2)).map(numberOf)).toEqual([1, 2]);
    expect(queue.size).toBe(0);
  });

  it('is skipped after an abort', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const aborted = rejectionOf(queue.publish('number', { n: 2 }, { signal: controller.signal }));
    const next = queue.publish('number', { n: 3 });
    controller.abort();
    expect(queue.clear()).toEqual([['number', { n: 1 }]]);
    await aborted;
    expect(await stateOf(next)).toBe('fulfilled');
    expect(waitingIn(queue)).toEqual([3]);
  });

  it('stays in the queue if the abort comes after it was admitted', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const published = queue.publish('number', { n: 2 }, { signal: controller.signal });
    queue.clear();
    controller.abort();
    expect(await stateOf(published)).toBe('fulfilled');
    expect(waitingIn(queue)).toEqual([2]);
  });

  it('leaves no listener on its signal', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new CountingController();
    const { signal } = controller;
    await queue.publish('number', { n: 1 }, { signal });
    expect(listenersOf(signal)).toBe(0);
    const admitted = queue.publish('number', { n: 2 }, { signal });
    const closed = rejectionOf(queue.publish('number', { n: 3 }, { signal }));
    expect(listenersOf(signal)).toBe(1);
    queue.clear();
    await admitted;
    expect(listenersOf(signal)).toBe(1);
    await queue.close();
    await closed;
    expect(listenersOf(signal)).toBe(0);
  });

  it('leaves no listener on an aborted signal', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    void publishAll(queue, [1]);
    const aborted = upTo(8).map((n) => rejectionOf(queue.publish('number', { n }, { signal })));
    controller.abort();
    await Promise.all(aborted);
    expect(listenersOf(signal)).toBe(0);
    expect(queue.unfinished).toBe(1);
  });

  it('is rejected when the queue closes', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const [, waiting] = publishAll(queue, [1, 2]);
    const reason = rejectionOf(waiting as Promise<void>);
    await queue.close();
    expect(QueueClosedError.is(await reason)).toBe(true);
    expect((await drain(queue.consume())).map(numberOf)).toEqual([1]);
  });

  it('does not count as unfinished', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    void publishAll(queue, [1, 2]);
    expect([queue.size, queue.unfinished]).toEqual([1, 1]);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('is delivered after its delay, however late it is admitted', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ capacity: 1, scheduler: clock.scheduler });
    void publishAll(queue, [1]);
    const published = queue.publish('number', { n: 2 }, { delay: 10 });
    clock.advance(5);
    expect(await stateOf(published)).toBe('pending');
    const holder = new Holder(queue);
    expect(await stateOf(published)).toBe('fulfilled');
    clock.advance(4);
    expect(holder.numbers).toEqual([1]);
    clock.advance(10);
    expect(holder.numbers).toEqual([1, 2]);
  });
});

describe("A full queue with the policy 'error'", () => {
  it('rejects with a QueueOverflowError and changes nothing', async () => {
    const queue = new MemoryBackend({ capacity: 2, overflow: 'error' });
    const [, , third] = publishAll(queue, upTo(3));
    expect(QueueOverflowError.is(await rejectionOf(third as Promise<void>))).toBe(true);
    expect(queue.tryPublish('number', { n: 4 })).toBe(false);
    expect(queue.dropped).toBe(0);
    expect(waitingIn(queue)).toEqual([1, 2]);
  });

  it('accepts messages again once it has capacity', async () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'error' });
    void publishAll(queue, [1]);
    await rejectionOf(queue.publish('number', { n: 2 }));
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('number', { n: 3 });
    void holder.of(1).ack();
    expect(holder.numbers).toEqual([1, 3]);
  });
});

describe("A full queue with the policy 'drop-oldest'", () => {
  it('drops and counts the message that has waited longest', async () => {
    const queue = new MemoryBackend({ capacity: 2, overflow: 'drop-oldest' });
    expect(await states(publishAll(queue, upTo(5)))).toEqual(Array(5).fill('fulfilled'));
    expect(queue.dropped).toBe(3);
    expect([queue.size, queue.unfinished]).toEqual([2, 2]);
    expect(waitingIn(queue)).toEqual([4, 5]);
  });

  it('accepts a tryPublish in place of the oldest message', () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-oldest' });
    void publishAll(queue, [1]);
    expect(queue.tryPublish('number', { n: 2 })).toBe(true);
    expect(queue.dropped).toBe(1);
    expect(waitingIn(queue)).toEqual([2]);
  });

  it('does not drop messages in flight', async () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-oldest' });
    const holder = new Holder(queue, { prefetch: 1 });
    void publishAll(queue, upTo(4));
    expect([queue.inFlight, queue.dropped]).toEqual([1, 2]);
    expect(await holder.of(1).ack()).toBe(true);
    expect(holder.numbers).toEqual([1, 4]);
  });

  it('lets join() resolve once the last message is dropped or settled', async () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-oldest' });
    void publishAll(queue, upTo(3));
    const joined = queue.join();
    const [payload] = await pull(queue.consume(), 1);
    expect(numberOf(payload)).toBe(3);
    expect(await stateOf(joined)).toBe('pending');
    queue.clear();
    expect(queue.unfinished).toBe(1);
  });
});

describe("A full queue with the policy 'drop-newest'", () => {
  it('resolves publish without storing the message, and counts it', async () => {
    const queue = new MemoryBackend({ capacity: 2, overflow: 'drop-newest' });
    expect(await states(publishAll(queue, upTo(5)))).toEqual(Array(5).fill('fulfilled'));
    expect(queue.dropped).toBe(3);
    expect(queue.unfinished).toBe(2);
    expect(waitingIn(queue)).toEqual([1, 2]);
  });

  it('returns false from tryPublish', async () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-newest' });
    expect(queue.tryPublish('number', { n: 1 })).toBe(true);
    expect(queue.tryPublish('number', { n: 2 })).toBe(false);
    await turns();
    expect(waitingIn(queue)).toEqual([1]);
  });

  it('drops nothing while a consumer waits', () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-newest' });
    const holder = new Holder(queue, { prefetch: 3 });
    void publishAll(queue, upTo(5));
    expect(holder.numbers).toEqual([1, 2, 3]);
    expect([queue.dropped, queue.size]).toEqual([1, 1]);
  });
});
