import { Subject } from 'rxjs';
import { fromAsyncIterable, MemoryBackend, receive, toAsyncBatches, toAsyncIterable } from 'sluice';
import { Holder, publishAll, upTo } from '../support/consumers.js';
import { until } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { type Ticker, ticksDuring } from '../support/ticker.js';

const PAYLOAD = { n: 1 };

// These loops use a full core, and a shared machine may provide only part of one.
jest.setTimeout(180_000);

// A loop stops once the timer has fired this often.
const ENOUGH_TICKS = 10;

/** Where a loop stops if the timer never fires: many times the iterations between two ticks. */
const TOO_MANY = 20_000_000;

/**
 * Maximum backlog between an awaiting publisher and an awaiting consumer: far below the number of
 * messages.
 */
const BACKLOG = 1_000;

const silent = (options = {}) => new MemoryBackend({ logger: silentLogger, ...options });

/** Runs until promises of a queue no longer resolve within microtasks but wait for a macrotask. */
async function untilPromisesWait(): Promise<void> {
  const queue = silent({ capacity: 1, overflow: 'drop-newest' });
  for (let round = 0; round < TOO_MANY; round++) {
    let resolved = false;
    void queue.publish('key', PAYLOAD).then(() => {
      resolved = true;
    });
    await null;
    await null;
    if (!resolved) return;
  }
}

/** Publishes and awaits messages until the ticker has fired often enough. */
async function publishUntilEnough(queue: MemoryBackend, ticker: Ticker): Promise<{ published: number; peak: number }> {
  let published = 0;
  let peak = 0;
  while (ticker.fired < ENOUGH_TICKS && published < TOO_MANY) {
    await queue.publish('key', PAYLOAD);
    published++;
    peak = Math.max(peak, queue.unfinished);
  }
  await queue.close();
  return { published, peak };
}

describe('A 5 ms timer keeps firing', () => {
  it.each([Number.POSITIVE_INFINITY, 16, 1])(
    'beside an awaiting publisher and an awaiting consumer, without a backlog (capacity %p)',
    async (capacity) => {
      const queue = silent({ capacity });
      let consumed = 0;
      let result = { published: 0, peak: 0 };
      const ticks = await ticksDuring(async (ticker) => {
        const publisher = publishUntilEnough(queue, ticker);
        for await (const _ of queue.consume()) consumed++;
        result = await publisher;
      });
      expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
      expect(consumed).toBe(result.published);
      expect(result.peak).toBeLessThan(BACKLOG);
    },
  );

  it('beside an awaiting publisher and a loop over deliveries(), without a backlog', async () => {
    const queue = silent();
    let result = { published: 0, peak: 0 };
    const ticks = await ticksDuring(async (ticker) => {
      const publisher = publishUntilEnough(queue, ticker);
      for await (const _ of queue.deliveries()) {
        // The loop acknowledges each delivery.
      }
      result = await publisher;
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    expect(result.peak).toBeLessThan(BACKLOG);
  });

  it('beside eight awaiting publishers and eight awaiting consumers, without a backlog', async () => {
    const queue = silent();
    let peak = 0;
    let [published, consumed] = [0, 0];
    const ticks = await ticksDuring(async (ticker) => {
      const consumers = upTo(8).map(async () => {
        for await (const _ of queue.consume()) consumed++;
      });
      await Promise.all(
        upTo(8).map(async () => {
          while (ticker.fired < ENOUGH_TICKS && published < TOO_MANY) {
            published++;
            await queue.publish('key', PAYLOAD);
            peak = Math.max(peak, queue.unfinished);
          }
        }),
      );
      await queue.close();
      await Promise.all(consumers);
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    expect(consumed).toBe(published);
    expect(peak).toBeLessThan(BACKLOG);
  });

  it('while an empty loop drains a million messages', async () => {
    const queue = silent();
    for (let n = 0; n < 1_000_000; n++) queue.tryPublish('key', PAYLOAD);
    await queue.close();
    let drained = 0;
    const ticks = await ticksDuring(async () => {
      for await (const _ of queue.consume()) drained++;
    });
    expect(drained).toBe(1_000_000);
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
  });

  it('while a publisher awaits without a consumer', async () => {
    const queue = silent({ capacity: 1, overflow: 'drop-oldest' });
    let published = 0;
    const ticks = await ticksDuring(async (ticker) => {
      ({ published } = await publishUntilEnough(queue, ticker));
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    expect(published).toBeLessThan(TOO_MANY);
  });

  it('while receive() is called in a loop', async () => {
    const queue = silent();
    let received = 0;
    const ticks = await ticksDuring(async (ticker) => {
      while (ticker.fired < ENOUGH_TICKS && received < TOO_MANY) {
        queue.tryPublish('key', PAYLOAD);
        await (await receive(queue)).ack();
        received++;
      }
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    expect(queue.unfinished).toBe(0);
  });

  it.each(['nack', 'release'] as const)(
    'while a handler settles every delivery with %s, without a backlog',
    async (settle) => {
      const queue = silent();
      let delivered = 0;
      void publishAll(queue, upTo(3));
      await ticksDuring(async (ticker) => {
        const subscription = queue.deliveries().subscribe((delivery) => {
          delivered++;
          void delivery[settle]();
          // A redelivery that blocks the event loop would never end otherwise.
          if (delivered > 1_000_000) subscription.unsubscribe();
        });
        await until(() => ticker.fired >= ENOUGH_TICKS);
        expect(subscription.closed).toBe(false);
        subscription.unsubscribe();
      });
      expect(delivered).toBeGreaterThan(3);
      expect([queue.size, queue.inFlight]).toEqual([3, 0]);
    },
  );

  it('while a loop over deliveries() nacks every delivery', async () => {
    const queue = silent();
    void publishAll(queue, upTo(3));
    let delivered = 0;
    const ticks = await ticksDuring(async (ticker) => {
      for await (const delivery of queue.deliveries()) {
        await delivery.nack();
        if (ticker.fired >= ENOUGH_TICKS || ++delivered >= TOO_MANY) break;
      }
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    expect(queue.size).toBe(3);
  });

  it('while two subscribers nack the same message in turn', async () => {
    const queue = silent();
    let delivered = 0;
    await ticksDuring(async (ticker) => {
      const onNext = (holder: () => Holder) => (delivery: { nack(): Promise<boolean> }) => {
        if (++delivered > 1_000_000) holder().subscription.unsubscribe();
        void delivery.nack();
      };
      const first: Holder = new Holder(
        queue,
        {},
        onNext(() => first),
      );
      const second: Holder = new Holder(
        queue,
        {},
        onNext(() => second),
      );
      void publishAll(queue, [1]);
      await until(() => ticker.fired >= ENOUGH_TICKS);
      expect([first.subscription.closed, second.subscription.closed]).toEqual([false, false]);
      first.subscription.unsubscribe();
      second.subscription.unsubscribe();
    });
    expect(queue.size).toBe(1);
  });
});

describe('While promises wait for the event loop', () => {
  it('calls still take effect synchronously', async () => {
    const queue = silent();
    let late = 0;
    let published = 0;
    await ticksDuring(async (ticker) => {
      while (ticker.fired < ENOUGH_TICKS && published < TOO_MANY) {
        const promise = queue.publish('key', PAYLOAD);
        if (queue.size !== ++published) late++;
        await promise;
      }
    });
    expect(late).toBe(0);
    const payloads = queue.consume();
    let taken = 0;
    for (; taken < published; taken++) {
      const promise = payloads.next();
      if (queue.size !== published - taken - 1) late++;
      await promise;
    }
    expect(late).toBe(0);
  });

  it('an aborted receive() requeues its message without counting an attempt', async () => {
    const queue = silent();
    void publishAll(queue, [1]);
    await untilPromisesWait();
    const controller = new AbortController();
    const received = receive(queue, { signal: controller.signal }).catch((reason: unknown) => reason);
    expect(queue.inFlight).toBe(1);
    controller.abort('off');
    expect(await received).toBe('off');
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
  });

  it('publishes settle in the order of the calls', async () => {
    const queue = silent();
    const settled: number[] = [];
    let calls = 0;
    await ticksDuring(async (ticker) => {
      while (ticker.fired < ENOUGH_TICKS && calls < TOO_MANY) {
        for (let burst = 0; burst < 5; burst++) {
          const call = calls++;
          void queue.publish('key', PAYLOAD).then(() => settled.push(call));
        }
        await queue.publish('key', PAYLOAD);
      }
    });
    await until(() => settled.length === calls);
    expect(settled.every((call, index) => call === index)).toBe(true);
  });

  it('next() of several iterators settle in the order of the calls', async () => {
    const queue = silent();
    const iterators = upTo(4).map(() => queue.consume());
    const settled: number[] = [];
    let calls = 0;
    await ticksDuring(async (ticker) => {
      while (ticker.fired < ENOUGH_TICKS && calls < TOO_MANY) {
        for (let n = 0; n < iterators.length; n++) queue.tryPublish('key', PAYLOAD);
        const answers = iterators.map((iterator) => {
          const call = calls++;
          return iterator.next().then(() => settled.push(call));
        });
        await Promise.all(answers);
      }
    });
    expect(settled.length).toBe(calls);
    expect(settled.every((call, index) => call === index)).toBe(true);
  });
});

describe('A 5 ms timer keeps firing with the bridge', () => {
  it.each<[string, (source: Subject<number>) => AsyncIterable<unknown>]>([
    ['toAsyncIterable', (source) => toAsyncIterable(source)],
    ['toAsyncBatches', (source) => toAsyncBatches(source, { maxSize: 1 })],
  ])('while an empty loop reads the buffer of %s', async (_, iterate) => {
    const source = new Subject<number>();
    const iterator = iterate(source)[Symbol.asyncIterator]();
    const first = iterator.next();
    for (let n = 0; n < 800_000; n++) source.next(n);
    source.complete();
    await first;
    let seen = 1;
    const ticks = await ticksDuring(async () => {
      while (!(await iterator.next()).done) seen++;
    });
    expect(seen).toBe(800_000);
    expect(ticks).toBeGreaterThan(2);
  });

  it('while fromAsyncIterable reads an iterable whose values are all available', async () => {
    let asked = 0;
    const ticks = await ticksDuring(async (ticker) => {
      const endless: AsyncIterable<number> = {
        [Symbol.asyncIterator]: () => ({
          next: () =>
            Promise.resolve(
              asked++ < TOO_MANY ? { done: false as const, value: asked } : { done: true as const, value: undefined },
            ),
        }),
      };
      const subscription = fromAsyncIterable(endless).subscribe();
      await until(() => ticker.fired >= ENOUGH_TICKS || subscription.closed);
      subscription.unsubscribe();
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
  });
});
