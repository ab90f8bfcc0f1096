import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const RESTARTS = 50;
const MESSAGES = 60;

/** The ways to stop a consumer. Each resolves when it is stopped. */
const WAYS: Record<string, (consumer: AsyncLoopConsumer, clock: VirtualClock) => Promise<void>> = {
  'by a shutdown that waits': async (consumer, clock) => {
    const stopped = consumer.shutdown();
    for (let step = 0; step < 10; step++) {
      clock.advance(50);
      await turns(1);
    }
    await stopped;
  },
  'by a shutdown with a short timeout': async (consumer, clock) => {
    const stopped = consumer.shutdown({ timeout: 10 });
    clock.advance(10);
    await stopped;
  },
  'by a shutdown without waiting': async (consumer, clock) => {
    const stopped = consumer.shutdown({ timeout: 0 });
    clock.advance();
    await stopped;
  },
};

const SHAPES: Record<string, AsyncLoopConsumerOptions> = {
  'one by one': {},
  'many at a time': { concurrency: 8 },
  'in order': { concurrency: 8, orderBy: 'key' },
};

function setUp(options: AsyncLoopConsumerOptions) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const logger = recordingLogger();
  const queue = new MemoryBackend({ scheduler, logger });
  return { clock, logger, queue, make: () => new AsyncLoopConsumer(queue, { scheduler, logger, ...options }) };
}

describe.each(Object.entries(WAYS))('An AsyncLoopConsumer that is stopped during work 50 times, %s', (_, stop) => {
  it.each(Object.entries(SHAPES))('loses no message and handles every message: %s', async (_name, options) => {
    const { clock, logger, queue, make } = setUp(options);
    const done = new Set<number>();
    for (const n of upTo(MESSAGES)) void queue.publish(`key ${n % 5}`, { n });
    const consumer = make();
    const work = (payload: object) =>
      new Promise<void>((resolve) => {
        // Between 1 and 40 ms, so that some handlers always run.
        clock.scheduler.schedule(
          () => {
            done.add(numberOf(payload));
            resolve();
          },
          1 + ((numberOf(payload) * 7) % 40),
        );
      });
    for (let restart = 0; restart < RESTARTS; restart++) {
      const running = consumer.run(work);
      clock.advance(5);
      await turns(1);
      await stop(consumer, clock);
      await running;
      expect(queue.inFlight).toBe(0);
    }
    // Handles the remaining messages without a stop.
    void consumer.run(work);
    while (queue.unfinished > 0) {
      clock.advance(50);
      await turns(1);
    }
    await queue.join();
    expect([...done].toSorted((a, b) => a - b)).toEqual(upTo(MESSAGES));
    expect([logger.warnings, logger.errors]).toEqual([[], []]);
  });
});

describe('Stopping an AsyncLoopConsumer 50 times', () => {
  it.each(Object.entries(SHAPES))(
    'while it handles the same message does not count attempts: %s',
    async (_, options) => {
      const { clock, queue, make } = setUp(options);
      void publishAll(queue, upTo(3));
      const attempts = new Set<number>();
      let handled = 0;
      for (let restart = 0; restart < RESTARTS; restart++) {
        const consumer = make();
        const running = consumer.run((_payload, { attempt }) => {
          handled++;
          attempts.add(attempt);
          return new Promise(() => {});
        });
        const stopped = consumer.shutdown({ timeout: 0 });
        clock.advance();
        await Promise.all([running, stopped]);
      }
      expect(handled).toBeGreaterThanOrEqual(RESTARTS);
      expect([...attempts]).toEqual([1]);
      expect([queue.size, clock.timers]).toEqual([3, 0]);
    },
  );

  it('while a dead letter cannot be delivered keeps its message', async () => {
    let broken = true;
    const letters: number[] = [];
    const deadLetter = async ({ payload }: { payload: object }) => {
      if (broken) throw new Error('no disk');
      letters.push(numberOf(payload));
    };
    const { queue, make } = setUp({ retry: { count: 0 }, deadLetter });
    void publishAll(queue, [1]);
    for (let restart = 0; restart < RESTARTS; restart++) {
      const consumer = make();
      const running = consumer.run(() => Promise.reject(new Error('no')));
      await turns();
      await consumer.shutdown();
      await running;
      expect([queue.size, queue.inFlight]).toEqual([1, 0]);
    }
    broken = false;
    void make().run(() => Promise.reject(new Error('no')));
    await queue.join();
    expect(letters).toEqual([1]);
  });
});
