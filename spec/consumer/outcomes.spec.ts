import { config } from 'rxjs';
import { AsyncLoopConsumer, type AsyncLoopConsumerOptions, MemoryBackend, type Outcome } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const never = () => new Promise<void>(() => {});

function setUp(options: AsyncLoopConsumerOptions = {}) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const queue = new MemoryBackend({ scheduler, logger: silentLogger });
  return { clock, queue, consumer: new AsyncLoopConsumer(queue, { scheduler, logger: silentLogger, ...options }) };
}

const brief = ({ status, delivery, ...rest }: Outcome) => ({
  n: numberOf(delivery.payload),
  attempt: delivery.attempt,
  status,
  ...rest,
});

describe('AsyncLoopConsumer.outcomes$', () => {
  it('emits every status with the delivery, the duration and the error', async () => {
    const deadLetter = new MemoryBackend();
    const { clock, queue, consumer } = setUp({ retry: { count: 1, delay: 10 }, deadLetter, concurrency: 10 });
    const outcomes: object[] = [];
    consumer.outcomes$.subscribe((outcome) => outcomes.push(brief(outcome)));
    void publishAll(queue, upTo(4));
    const error = new Error('no');
    void consumer.run((payload, delivery) => {
      if (numberOf(payload) === 1) return undefined;
      if (numberOf(payload) === 2) throw error;
      return numberOf(payload) === 3 ? delivery.reject() : never();
    });
    await turns();
    clock.advance(10);
    await turns();
    const stopped = consumer.shutdown({ timeout: 5 });
    clock.advance(5);
    await stopped;
    expect(outcomes).toHaveLength(5);
    expect(outcomes).toEqual(
      expect.arrayContaining([
        { n: 1, attempt: 1, status: 'acked', duration: 0 },
        { n: 2, attempt: 1, status: 'retried', duration: 0, error },
        { n: 3, attempt: 1, status: 'rejected', duration: 0 },
        { n: 2, attempt: 2, status: 'dead-lettered', duration: 0, error },
        { n: 4, attempt: 1, status: 'released', duration: 15 },
      ]),
    );
  });

  it('emits "rejected" without a dead letter, and "released" for a message that was not started', async () => {
    const { queue, consumer } = setUp({ retry: { count: 0 } });
    const outcomes: object[] = [];
    consumer.outcomes$.subscribe((outcome) => outcomes.push(brief(outcome)));
    void publishAll(queue, upTo(2));
    void consumer.run(async () => {
      void consumer.shutdown();
      throw 'text';
    });
    await turns();
    expect(outcomes).toEqual([
      { n: 1, attempt: 1, status: 'rejected', duration: 0, error: 'text' },
      { n: 2, attempt: 1, status: 'released', duration: 0 },
    ]);
  });

  it('emits after the settlement', () => {
    const { queue, consumer } = setUp();
    const seen: unknown[] = [];
    consumer.outcomes$.subscribe(({ delivery }) => seen.push([delivery.settled, queue.unfinished]));
    void consumer.run(() => {});
    void publishAll(queue, upTo(2));
    expect(seen).toEqual([
      ['acked', 0],
      ['acked', 0],
    ]);
  });

  it('emits before the next handler at a concurrency of 1', () => {
    const { queue, consumer } = setUp({ prefetch: 1 });
    const events: string[] = [];
    consumer.outcomes$.subscribe(({ delivery, status }) => events.push(`${numberOf(delivery.payload)} ${status}`));
    void publishAll(queue, upTo(2));
    void consumer.run((payload) => void events.push(`${numberOf(payload)} runs`));
    expect(events).toEqual(['1 runs', '1 acked', '2 runs', '2 acked']);
  });

  it('is hot and emits the same outcomes to all subscribers and `onOutcome`', () => {
    const onOutcome = jest.fn();
    const { queue, consumer } = setUp({ onOutcome });
    const [early, late, gone] = [[], [], []] as Outcome[][];
    consumer.outcomes$.subscribe((outcome) => early?.push(outcome));
    const leaving = consumer.outcomes$.subscribe((outcome) => gone?.push(outcome));
    void consumer.run(() => {});
    void publishAll(queue, [1]);
    leaving.unsubscribe();
    consumer.outcomes$.subscribe((outcome) => late?.push(outcome));
    void publishAll(queue, [2]);
    expect([early, late, gone].map((list) => list?.map(({ delivery }) => numberOf(delivery.payload)))).toEqual([
      [1, 2],
      [2],
      [1],
    ]);
    expect(onOutcome.mock.calls.map(([outcome]) => outcome)).toEqual(early);
  });

  it('emits even if `onOutcome` throws', () => {
    const { queue, consumer } = setUp({
      onOutcome: () => {
        throw new Error('no metrics');
      },
    });
    const statuses: string[] = [];
    consumer.outcomes$.subscribe(({ status }) => statuses.push(status));
    void consumer.run(() => {});
    void publishAll(queue, upTo(2));
    expect(statuses).toEqual(['acked', 'acked']);
  });

  it('continues over several runs and never completes', async () => {
    const { queue, consumer } = setUp();
    const events: unknown[] = [];
    consumer.outcomes$.subscribe({
      next: ({ status }) => events.push(status),
      complete: () => events.push('complete'),
    });
    for (let round = 0; round < 2; round++) {
      const running = consumer.run(() => {});
      void publishAll(queue, [round]);
      await consumer.shutdown();
      await running;
    }
    await queue.close();
    await consumer.run(() => {});
    expect(events).toEqual(['acked', 'acked']);
  });

  it('has no next() method', () => {
    const { consumer } = setUp();
    expect(consumer.outcomes$).not.toHaveProperty('next');
  });

  it('affects neither the consumer nor other subscribers if a subscriber throws', async () => {
    const unhandled: unknown[] = [];
    config.onUnhandledError = (error) => unhandled.push(error);
    const { queue, consumer } = setUp();
    const error = new Error('no metrics');
    consumer.outcomes$.subscribe(() => {
      throw error;
    });
    const told: number[] = [];
    consumer.outcomes$.subscribe(({ delivery }) => told.push(numberOf(delivery.payload)));
    const handled: number[] = [];
    void consumer.run((payload) => void handled.push(numberOf(payload)));
    void publishAll(queue, upTo(3));
    await queue.join();
    await new Promise((resolve) => setTimeout(resolve));
    config.onUnhandledError = null;
    expect([handled, told]).toEqual([upTo(3), upTo(3)]);
    expect(unhandled).toContain(error);
  });

  it('lets a subscriber shut down the consumer', async () => {
    const { queue, consumer } = setUp();
    let count = 0;
    consumer.outcomes$.subscribe(() => {
      if (++count === 2) void consumer.shutdown();
    });
    const handler = jest.fn();
    void publishAll(queue, upTo(5));
    await consumer.run(handler);
    expect(handler).toHaveBeenCalledTimes(2);
    expect([queue.size, queue.inFlight]).toEqual([3, 0]);
  });
});
