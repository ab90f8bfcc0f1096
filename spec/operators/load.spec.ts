import { NEVER, of } from 'rxjs';
import { type Delivery, type HandleOptions, type HandlerContext, handle, MemoryBackend } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { heapUsed, survivors } from '../support/memory.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { ticksDuring } from '../support/ticker.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HALF_A_MILLION = 500_000;
const MEGABYTE = 2 ** 20;

/** The minimum of timer ticks beside a load that takes many times as long. */
const ENOUGH_TICKS = 10;

async function* yieldOne(): AsyncGenerator<number> {
  yield 1;
}

describe('A 5 ms timer keeps firing', () => {
  it.each<[string, (delivery: Delivery) => unknown, HandleOptions]>([
    ['async () => {}', async () => {}, {}],
    [
      'async () => {}, in many lanes',
      async () => {},
      { orderBy: ({ payload }) => numberOf(payload) % 100, concurrency: 8 },
    ],
    ['() => of(1), eight at a time', () => of(1), { concurrency: 8 }],
    ['async function* () { yield 1; }', yieldOne, { concurrency: 8 }],
    ['() => Promise.reject(…)', () => Promise.reject('boom'), { retry: { count: 0 }, logger: silentLogger }],
  ])('beside half a million handlers that never wait: %s', async (_, handler, options) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    for (let n = 0; n < HALF_A_MILLION; n++) queue.tryPublish('number', { n });
    let outcomes = 0;
    const ticks = await ticksDuring(async () => {
      queue
        .deliveries({ prefetch: 1000 })
        .pipe(handle(handler, { ...options, onOutcome: () => outcomes++ }))
        .subscribe();
      await queue.join();
    });
    await turns();
    expect([outcomes, queue.unfinished]).toEqual([HALF_A_MILLION, 0]);
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
  });

  it('beside publishers that keep a handler busy', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    let handled = 0;
    const ticks = await ticksDuring(async (ticker) => {
      const subscription = queue
        .deliveries()
        .pipe(handle(async () => handled++))
        .subscribe();
      let backlog = 0;
      // Both continue, however slow the machine is: messages are handled and the timer fires.
      while (ticker.fired < ENOUGH_TICKS || handled <= 1000) {
        await queue.publish('number', { n: 1 });
        backlog = Math.max(backlog, queue.unfinished);
      }
      expect(backlog).toBeLessThan(1000);
      await queue.join();
      subscription.unsubscribe();
    });
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    expect(handled).toBeGreaterThan(1000);
  });
});

describe('handle does not retain', () => {
  it.each<[string, (delivery: Delivery) => unknown, HandleOptions, many?: number]>([
    [
      '200,000 past keys',
      async () => {},
      { orderBy: ({ payload }) => `key ${numberOf(payload)}`, concurrency: 8 },
      200_000,
    ],
    ['messages of one key', async () => {}, { orderBy: 'key', concurrency: 8 }],
    ['timeouts', async () => {}, { timeout: 60_000, concurrency: 8 }],
    [
      'failed and dead-lettered messages',
      () => Promise.reject('boom'),
      { orderBy: 'key', retry: { count: 0 }, deadLetter: () => {}, logger: silentLogger },
    ],
  ])('%s', async (_, handler, options, many = 100_000) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const subscription = queue.deliveries({ prefetch: 100 }).pipe(handle(handler, options)).subscribe();
    let n = 0;
    const run = async (count: number) => {
      for (let left = count; left > 0; left--) await queue.publish('number', { n: n++ });
      await queue.join();
    };
    await run(20_000);
    const before = await heapUsed();
    await run(many);
    expect((await heapUsed()) - before).toBeLessThan(2 * MEGABYTE);
    subscription.unsubscribe();
  });

  it('payloads, keys and results of settled messages', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const references: WeakRef<object>[] = [];
    const subscription = queue
      .deliveries()
      .pipe(
        handle(
          async ({ payload }) => {
            const result = { payload };
            references.push(new WeakRef(payload), new WeakRef(result));
            return result;
          },
          { orderBy: ({ payload }) => payload, timeout: 60_000 },
        ),
      )
      .subscribe();
    for (let n = 0; n < 50; n++) void queue.publish(`lane ${n % 2}`, { n });
    await queue.join();
    expect(references.length).toBe(100);
    expect(await survivors(references)).toBeLessThan(5);
    subscription.unsubscribe();
  });

  it('handlers that timed out and never end', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ logger: silentLogger });
    const options = {
      concurrency: 32,
      timeout: 10,
      retry: { count: 0 },
      scheduler: clock.scheduler,
      logger: silentLogger,
    };
    const subscription = queue
      .deliveries()
      .pipe(handle(() => NEVER, options))
      .subscribe();
    const run = (count: number) => {
      for (let n = 0; n < count; n++) void queue.publish('number', { n });
      while (queue.unfinished > 0) clock.advance(10);
    };
    run(2000);
    const before = await heapUsed();
    run(20_000);
    expect((await heapUsed()) - before).toBeLessThan(2 * MEGABYTE);
    subscription.unsubscribe();
  });

  it.each<[string, 'key' | undefined]>([
    ['messages after one whose handler still runs', undefined],
    ['messages behind one of the same key whose context is referenced', 'key'],
  ])('%s', async (_, orderBy) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const references: WeakRef<object>[] = [];
    const contexts: HandlerContext[] = [];
    const subscription = queue
      .deliveries({ prefetch: 100 })
      .pipe(
        handle(
          async ({ payload }, context) => {
            const n = numberOf(payload);
            if (n === 5) contexts.push(context);
            else if (n > 5) references.push(new WeakRef(payload));
            await turns(1);
            if (n === 5 && orderBy === undefined) await new Promise(() => {});
          },
          { concurrency: 2, orderBy },
        ),
      )
      .subscribe();
    for (let n = 0; n < 60; n++) void queue.publish('number', { n });
    while (queue.unfinished > 1 || references.length < 54) await turns(1);
    await turns();
    expect([contexts.length, references.length]).toEqual([1, 54]);
    expect(await survivors(references)).toBeLessThan(5);
    subscription.unsubscribe();
  });

  it('past subscriptions while their signal lives on', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const { signal } = new AbortController();
    const operator = handle(async () => {}, { signal, timeout: 60_000 });
    const run = (count: number) => {
      for (let left = count; left > 0; left--) queue.deliveries().pipe(operator).subscribe().unsubscribe();
    };
    run(1000);
    const before = await heapUsed();
    run(10_000);
    expect((await heapUsed()) - before).toBeLessThan(MEGABYTE);
  });
});
