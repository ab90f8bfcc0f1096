import { Subject } from 'rxjs';
import { MemoryBackend, type PublishOptions, receive, toAsyncBatches, toAsyncIterable } from 'sluice';
import { full, Holder, publishAll, upTo } from '../support/consumers.js';
import { heapUsed, survivors } from '../support/memory.js';
import { rejectionOf, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { CountingController, listenersOf } from '../support/signals.js';
import { VirtualClock } from '../support/virtual-clock.js';

const CYCLES = 10_000;
const MEGABYTE = 2 ** 20;

/** Heap that a cycle may leave behind, on average: less than an iterator or a listener. */
const BYTES_PER_CYCLE = 100;

/**
 * Number of objects that may survive because a register of the running test happens to reference
 * them.
 */
const STRAGGLERS = 5;

interface Waiting {
  /** The object that must be collected after the wait. */
  readonly object: object;
  readonly ended: Promise<unknown>;
  leave(): void;
}

interface Subjects {
  readonly queue: MemoryBackend;
  readonly source: Subject<number>;
}

/** Every way to wait with a signal. */
const WAYS: Record<string, (subjects: Subjects, signal: AbortSignal) => Waiting> = {
  'consume()': ({ queue }, signal) => iterated(queue.consume({ signal })),
  'consume() with a prefetch of 8': ({ queue }, signal) => iterated(queue.consume({ signal, prefetch: 8 })),
  'an iteration of deliveries()': ({ queue }, signal) => iterated(queue.deliveries({ signal })[Symbol.asyncIterator]()),
  'a subscription to deliveries()': ({ queue }, signal) => {
    const { subscription } = new Holder(queue, { signal });
    return { object: subscription, ended: Promise.resolve(), leave: () => subscription.unsubscribe() };
  },
  toAsyncIterable: ({ source }, signal) => iterated(toAsyncIterable(source, { signal })),
  toAsyncBatches: ({ source }, signal) => iterated(toAsyncBatches(source, { signal })),
};

function iterated(iterable: AsyncIterator<unknown>): Waiting {
  const iterator = full(iterable);
  return { object: iterator, ended: iterator.next(), leave: () => void iterator.return() };
}

function setUp(): Subjects & { expectNoSubscribers(): void } {
  const queue = new MemoryBackend({ logger: silentLogger });
  const source = new Subject<number>();
  return {
    queue,
    source,
    expectNoSubscribers: () => {
      expect(source.observed).toBe(false);
      void publishAll(queue, [1]);
      expect([queue.size, queue.inFlight]).toEqual([1, 0]);
      queue.clear();
    },
  };
}

describe.each(Object.entries(WAYS))('Many cycles of %s', (way, wait) => {
  // Ten thousand cycles of what services do all the time, and enough of the others to show a leak.
  const cycles = way.includes('toAsync') ? 2_000 : CYCLES;

  it('leave nothing behind if each is ended by its own signal', async () => {
    const { expectNoSubscribers, ...subjects } = setUp();
    let listeners = 0;
    const cycle = async (): Promise<WeakRef<object>> => {
      const controller = new AbortController();
      const { object, ended } = wait(subjects, controller.signal);
      controller.abort();
      await ended;
      listeners += listenersOf(controller.signal);
      return new WeakRef(object);
    };
    for (const _ of upTo(1000)) await cycle();
    const before = await heapUsed();
    const references: WeakRef<object>[] = [];
    for (const _ of upTo(cycles)) references.push(await cycle());
    expect(await survivors(references)).toBeLessThan(STRAGGLERS);
    references.length = 0;
    expect((await heapUsed()) - before).toBeLessThan(cycles * BYTES_PER_CYCLE);
    expect(listeners).toBe(0);
    expectNoSubscribers();
  });

  it('leave nothing on a shared signal if each is ended by the consumer', async () => {
    const { expectNoSubscribers, ...subjects } = setUp();
    const controller = new CountingController();
    const references: WeakRef<object>[] = [];
    for (const _ of upTo(cycles)) {
      const { object, ended, leave } = wait(subjects, controller.signal);
      leave();
      await ended;
      references.push(new WeakRef(object));
    }
    expect(listenersOf(controller.signal)).toBe(0);
    expect(controller.peak).toBeLessThanOrEqual(1);
    expect(controller.removed).toBe(controller.added);
    expect(await survivors(references)).toBeLessThan(STRAGGLERS);
    expectNoSubscribers();
  });

  it('leave nothing behind if one signal ends all of them', async () => {
    const { expectNoSubscribers, ...subjects } = setUp();
    const controller = new AbortController();
    const waiting = upTo(cycles).map(() => wait(subjects, controller.signal));
    // Node warns of a leak at eleven listeners on one signal.
    expect(listenersOf(controller.signal)).toBe(1);
    controller.abort();
    await Promise.all(waiting.map(({ ended }) => ended));
    expect(listenersOf(controller.signal)).toBe(0);
    const references = waiting.splice(0).map(({ object }) => new WeakRef(object));
    expect(await survivors(references)).toBeLessThan(STRAGGLERS);
    expectNoSubscribers();
  });

  it('add no listener if the signal is already aborted', async () => {
    const { expectNoSubscribers, ...subjects } = setUp();
    const controller = new CountingController();
    controller.abort();
    for (const _ of upTo(100)) await wait(subjects, controller.signal).ended;
    expect(listenersOf(controller.signal)).toBe(0);
    expectNoSubscribers();
  });
});

describe('A queue leaves no listener behind', () => {
  it.each<[string, (queue: MemoryBackend, signal: AbortSignal) => Promise<unknown>]>([
    ['a waiting publish()', (queue, signal) => queue.publish('number', { n: 2 }, { signal })],
    ['join()', (queue, signal) => queue.join({ signal })],
    ['receive()', (queue, signal) => receive(queue, { signal })],
  ])('after %s was aborted ten thousand times', async (_, wait) => {
    const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
    const holder = new Holder(queue, { prefetch: 1 });
    void publishAll(queue, [1]);
    // The queue is full for publish() and unfinished for join(). Only a delayed message exists for
    // receive().
    void queue.publish('number', { n: 2 }, { delay: 1_000_000 });
    let listeners = 0;
    let rejected = 0;
    const cycle = async () => {
      const controller = new AbortController();
      const waiting = wait(queue, controller.signal).catch(() => rejected++);
      controller.abort();
      await waiting;
      listeners += listenersOf(controller.signal);
    };
    for (const _ of upTo(1000)) await cycle();
    const before = await heapUsed();
    for (const _ of upTo(CYCLES)) await cycle();
    expect((await heapUsed()) - before).toBeLessThan(CYCLES * BYTES_PER_CYCLE);
    expect(listeners).toBe(0);
    expect(rejected).toBe(CYCLES + 1000);
    expect(queue.unfinished).toBe(2);
    holder.subscription.unsubscribe();
    queue.clear();
  });

  it('on a signal with which twenty thousand messages were published and consumed', async () => {
    const queue = new MemoryBackend({ capacity: 10 });
    const controller = new CountingController();
    const { signal } = controller;
    const publisher = (async () => {
      for (const n of upTo(20_000)) await queue.publish('number', { n }, { signal });
      await queue.close();
    })();
    let consumed = 0;
    for await (const _ of queue.consume({ signal })) consumed++;
    await publisher;
    expect(consumed).toBe(20_000);
    expect(controller.peak).toBeLessThanOrEqual(2);
    expect(listenersOf(signal)).toBe(0);
  });
});

describe('A queue does not retain', () => {
  it('settled messages', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const run = async (count: number) => {
      for (const n of upTo(count))
        void queue.publish('number', { n }, n % 10 === 0 ? { headers: { n: String(n) } } : undefined);
      let left = count / 2;
      const subscription = queue.deliveries({ prefetch: 100 }).subscribe((delivery) => {
        if (left-- > 0) void (left % 2 === 0 ? delivery.ack() : delivery.reject());
      });
      subscription.unsubscribe();
      const payloads = full(queue.consume());
      for (left = count / 4; left > 0; left--) await payloads.next();
      await payloads.return();
      queue.clear();
      expect(queue.unfinished).toBe(0);
    };
    await run(20_000);
    const before = await heapUsed();
    await run(200_000);
    expect((await heapUsed()) - before).toBeLessThan(2 * MEGABYTE);
  });

  it.each<[string, PublishOptions | undefined]>([
    ['plain', undefined],
    ['with headers', { headers: { trace: 'abc' } }],
  ])('payloads of settled messages: %s', async (_, options) => {
    const queue = new MemoryBackend();
    const references = upTo(100).map((n) => {
      const payload = { n };
      void queue.publish('number', payload, options);
      return new WeakRef(payload);
    });
    const payloads = queue.consume();
    for (const _ of upTo(100)) await payloads.next();
    void payloads.next();
    expect(await survivors(references)).toBe(0);
  });

  it('groups of messages that every group has settled', async () => {
    const queue = new MemoryBackend({ groups: ['a', 'b'], logger: silentLogger });
    const [a, b] = [queue.consume({ group: 'a' }), queue.consume({ group: 'b' })];
    const run = async (count: number) => {
      for (const n of upTo(count)) {
        void queue.publish('number', { n });
        await Promise.all([a.next(), b.next()]);
      }
    };
    await run(5_000);
    const before = await heapUsed();
    await run(50_000);
    expect((await heapUsed()) - before).toBeLessThan(MEGABYTE);
  });

  it('subscribers that unsubscribed while they paused after a nack', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger });
    void publishAll(queue, [1]);
    for (const _ of upTo(CYCLES)) {
      const holder = new Holder(queue);
      void holder.of(1).nack();
      holder.subscription.unsubscribe();
    }
    expect(clock.timers).toBe(0);
    expect(new Holder(queue).of(1).attempt).toBe(CYCLES + 1);
  });

  it('itself after close(), even if a signal that it used lives on', async () => {
    const controller = new AbortController();
    const use = async (): Promise<WeakRef<object>> => {
      const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
      const payloads = full(queue.consume({ signal: controller.signal }));
      const pending = payloads.next();
      const received = rejectionOf(receive(queue, { signal: controller.signal }));
      await queue.publish('number', { n: 1 }, { signal: controller.signal });
      void queue.close({ drain: false });
      await Promise.all([pending, received, payloads.return()]);
      return new WeakRef(queue);
    };
    const references: WeakRef<object>[] = [];
    for (const _ of upTo(20)) references.push(await use());
    await turns();
    expect(await survivors(references)).toBeLessThan(STRAGGLERS);
    expect(listenersOf(controller.signal)).toBe(0);
  });
});
