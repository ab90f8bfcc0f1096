import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend } from 'sluice';
import { publishAll, upTo } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { runScript } from '../support/run-script.js';
import { CountingController, listenersOf } from '../support/signals.js';
import { ticksDuring } from '../support/ticker.js';
import { VirtualClock } from '../support/virtual-clock.js';

const never = () => new Promise<void>(() => {});

/** The minimum of timer ticks during the work: a small part of the possible number. */
const ENOUGH_TICKS = 10;

function setUp(options: AsyncLoopConsumerOptions) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const queue = new MemoryBackend({ scheduler, logger: silentLogger });
  return { clock, queue, consumer: new AsyncLoopConsumer(queue, { scheduler, logger: silentLogger, ...options }) };
}

describe('An AsyncLoopConsumer after its end', () => {
  it.each<[string, AsyncLoopConsumerOptions, () => unknown]>([
    ['handlers with a timeout', { timeout: 5000, concurrency: 3 }, never],
    ['retries in place', { orderBy: 'key', retry: { delay: 5000 } }, () => Promise.reject(new Error('no'))],
    [
      'dead letters that fail',
      { retry: { count: 0 }, deadLetter: () => Promise.reject(new Error('no')) },
      () => Promise.reject(new Error('no')),
    ],
    ['dead letters being published', { retry: { count: 0 }, deadLetter: never }, () => Promise.reject(new Error('no'))],
  ])('leaves no timer and no listener behind, after a shutdown with %s', async (_, options, handler) => {
    const controller = new CountingController();
    const { clock, queue, consumer } = setUp({ ...options, signal: controller.signal });
    void publishAll(queue, upTo(5));
    for (let round = 0; round < 3; round++) {
      const running = consumer.run(handler);
      expect(listenersOf(controller.signal)).toBe(1);
      await turns();
      const stopped = consumer.shutdown({ timeout: 10 });
      clock.advance(10);
      await Promise.all([running, stopped]);
      expect([clock.timers, listenersOf(controller.signal), queue.inFlight]).toEqual([0, 0, 0]);
    }
    expect(controller.added).toBe(controller.removed);
    expect(queue.unfinished).toBe(5);
  });

  it('leaves no listener behind if the queue has ended', async () => {
    const { signal } = new AbortController();
    const { clock, queue, consumer } = setUp({ signal, timeout: 100 });
    void publishAll(queue, upTo(5));
    const running = consumer.run(async () => {});
    await queue.close();
    await running;
    expect([clock.timers, listenersOf(signal)]).toEqual([0, 0]);
  });

  it('leaves no listener behind if its signal has aborted', async () => {
    const controller = new AbortController();
    const { queue, consumer } = setUp({ signal: controller.signal });
    void publishAll(queue, upTo(5));
    const running = consumer.run(async () => {});
    controller.abort();
    await running;
    expect(listenersOf(controller.signal)).toBe(0);
    expect(queue.inFlight).toBe(0);
  });

  it('ignores a signal that aborts later', async () => {
    const controller = new AbortController();
    const { queue, consumer } = setUp({ signal: controller.signal });
    const running = consumer.run(() => {});
    await consumer.shutdown();
    await running;
    expect(() => controller.abort()).not.toThrow();
    expect(queue.inFlight).toBe(0);
  });

  it('lets the process exit in any state', async () => {
    const result = await runScript(`
      const { AsyncLoopConsumer, MemoryBackend } = sluice;
      const logger = { debug() {}, warn() {}, error() {} };
      const never = () => new Promise(() => {});
      const fails = () => Promise.reject(new Error('no'));
      async function stop(options, handler) {
        const queue = new MemoryBackend({ logger });
        for (let n = 0; n < 3; n++) void queue.publish('k', { n });
        const consumer = new AsyncLoopConsumer(queue, { logger, ...options });
        const running = consumer.run(handler);
        await new Promise((resolve) => setImmediate(resolve));
        await consumer.shutdown({ timeout: 20 });
        await running;
        await queue.close();
      }
      await stop({}, async () => {});
      await stop({ timeout: 3600000 }, never);
      await stop({ signal: new AbortController().signal, concurrency: 3 }, never);
      const gone = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      await stop({}, (_payload, _delivery, { signal }) => gone(signal));
      await stop({ timeout: 5 }, (_payload, _delivery, { signal }) => gone(signal));
      await stop({ retry: { count: 0 }, deadLetter: (_delivery, _error, { signal }) => gone(signal) }, fails);
      await stop({ retry: { delay: 3600000 } }, fails);
      await stop({ retry: { delay: 3600000 }, orderBy: 'key' }, fails);
      await stop({ retry: { count: 0, delay: 3600000 }, deadLetter: fails }, fails);
      await stop({ retry: { count: 0 }, deadLetter: never }, fails);
      const idle = new AsyncLoopConsumer(new MemoryBackend());
      const running = idle.run(never);
      await idle.shutdown({ timeout: 3600000 });
      await running;
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script' });
  });

  it('lets the process exit with an idle consumer on an open queue', async () => {
    const result = await runScript(`
      const { AsyncLoopConsumer, MemoryBackend } = sluice;
      const queue = new MemoryBackend();
      void new AsyncLoopConsumer(queue).run(async () => console.log('handled'));
      await queue.publish('k', {});
    `);
    expect(result).toEqual({ exit: 0, output: 'handled' });
  });
});

describe('A 5 ms timer keeps firing', () => {
  it.each<[string, AsyncLoopConsumerOptions]>([
    ['one by one', {}],
    ['eight at a time', { concurrency: 8 }],
    ['in order', { concurrency: 8, orderBy: 'key' }],
  ])('beside 500,000 trivial async handlers, %s', async (_, options) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const payload = {};
    for (let n = 0; n < 500_000; n++) queue.tryPublish('key', payload);
    const consumer = new AsyncLoopConsumer(queue, options);
    let handled = 0;
    const ticks = await ticksDuring(async () => {
      void consumer.run(async () => void handled++);
      await queue.join();
    });
    expect(handled).toBe(500_000);
    expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
    await consumer.shutdown();
  });

  it.each([1, 8])(
    'beside trivial async handlers on a queue that is only an async generator, with a concurrency of %p',
    async (concurrency) => {
      let handled = 0;
      const ticks = await ticksDuring(async (ticker) => {
        const queue = {
          publish: async () => {},
          async *consume() {
            // The limit ends the test if the timer never fires.
            for (let n = 0; n < 5_000_000 && ticker.fired < ENOUGH_TICKS; n++) yield { n };
          },
        };
        const consumer = new AsyncLoopConsumer(queue, { concurrency, logger: silentLogger });
        await consumer.run(async () => void handled++);
      });
      expect(ticks).toBeGreaterThanOrEqual(ENOUGH_TICKS);
      expect(handled).toBeGreaterThan(ENOUGH_TICKS);
    },
  );
});
