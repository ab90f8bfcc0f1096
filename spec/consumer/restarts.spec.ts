import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const RESTARTS = 50;
const MESSAGES = 60;

/** The ways to stop a consumer. Each says when it is stopped. */
const WAYS: Record<string, (consumer: AsyncLoopConsumer, clock: VirtualClock) => Promise<void>> = {
  'by a shutdown that waits': async (consumer, clock) => {
    const stopped = consumer.shutdown();
    for (let step = 0; step < 10; step++) {
      clock.advance(50);
      await turns(1);
    }
    await stopped;
  },
  'by a shutdown that waits a little': async (consumer, clock) => {
    const stopped = consumer.shutdown({ timeout: 10 });
    clock.advance(10);
    await stopped;
  },
  'by a shutdown that does not wait': async (consumer, clock) => {
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

describe.each(Object.entries(WAYS))(
  'An AsyncLoopConsumer with default options that is stopped in the middle of work, %s, 50 times',
  (_, stop) => {
    it.each(Object.entries(SHAPES))(
      'costs no message, and every message ends processed: %s',
      async (_name, options) => {
        const { clock, logger, queue, make } = setUp(options);
        const done = new Set<number>();
        for (const n of upTo(MESSAGES)) void queue.publish(`key ${n % 5}`, { n });
        const consumer = make();
        const work = (payload: object) =>
          new Promise<void>((resolve) => {
            // From 1 to 40 ms: some are always in the middle.
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
        // In peace, what is left.
        void consumer.run(work);
        while (queue.unfinished > 0) {
          clock.advance(50);
          await turns(1);
        }
        await queue.join();
        expect([...done].toSorted((a, b) => a - b)).toEqual(upTo(MESSAGES));
        expect([logger.warnings, logger.errors]).toEqual([[], []]);
      },
    );
  },
);

describe('An AsyncLoopConsumer that is stopped 50 times', () => {
  it.each(Object.entries(SHAPES))(
    'in the middle of the same message does not count that against it: %s',
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

  it('while a message waits for a dead letter that cannot be delivered keeps it', async () => {
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
