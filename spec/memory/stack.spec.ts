import { map, retry, take } from 'rxjs';
import { type Delivery, MemoryBackend } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { until } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const MILLION = 1_000_000;
const PAYLOAD = { n: 1 };

function setUp(messages = 0): MemoryBackend {
  const queue = new MemoryBackend({ logger: silentLogger });
  for (let n = 0; n < messages; n++) queue.tryPublish('key', PAYLOAD);
  return queue;
}

describe('The stack does not grow', () => {
  it('with a million acks of waiting messages inside next', () => {
    const queue = setUp(MILLION);
    let seen = 0;
    queue.deliveries({ prefetch: 1 }).subscribe((delivery) => {
      seen++;
      void delivery.ack();
    });
    expect(seen).toBe(MILLION);
    expect(queue.unfinished).toBe(0);
  });

  it('with settlements of every third delivery inside next', () => {
    const queue = setUp(200_000);
    const held: Delivery[] = [];
    let seen = 0;
    queue.deliveries({ prefetch: 3 }).subscribe((delivery) => {
      seen++;
      held.push(delivery);
      if (held.length === 3) for (const one of held.splice(0)) void (seen % 2 === 0 ? one.reject() : one.ack());
    });
    expect(seen).toBe(200_000);
    expect(queue.unfinished).toBe(200_000 % 3);
  });

  it('with a million publishes of the next message inside next', () => {
    const queue = setUp();
    let seen = 0;
    queue.deliveries({ prefetch: 1 }).subscribe((delivery) => {
      void delivery.ack();
      if (++seen < MILLION) void queue.publish('key', PAYLOAD);
    });
    void queue.publish('key', PAYLOAD);
    expect(seen).toBe(MILLION);
    expect(queue.unfinished).toBe(0);
  });

  it('with a handler that publishes before it acknowledges, at a capacity of 1', () => {
    const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
    let seen = 0;
    queue.deliveries({ prefetch: 1 }).subscribe((delivery) => {
      if (++seen < 200_000) void queue.publish('key', PAYLOAD);
      void delivery.ack();
    });
    void queue.publish('key', PAYLOAD);
    expect(seen).toBe(200_000);
    expect(queue.unfinished).toBe(0);
  });

  it('with a handler that admits a hundred thousand waiting publishes one by one', () => {
    const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
    for (let n = 0; n < 100_000; n++) void queue.publish('key', PAYLOAD);
    let seen = 0;
    queue.deliveries({ prefetch: 1 }).subscribe((delivery) => {
      seen++;
      void delivery.ack();
    });
    expect(seen).toBe(100_000);
  });

  it('with observers of published$ and unfinished$ that publish a hundred thousand times', () => {
    const queue = setUp();
    let taken = 0;
    queue.published$.subscribe(() => {
      if (++taken < 100_000) queue.tryPublish('key', PAYLOAD);
    });
    queue.tryPublish('key', PAYLOAD);
    expect(queue.size).toBe(100_000);
    let counted = 0;
    queue.unfinished$.subscribe((count) => {
      counted = count;
      if (count < 200_000) queue.tryPublish('key', PAYLOAD);
    });
    expect(counted).toBe(200_000);
  });

  it('with twenty thousand subscribers that pass a message on', async () => {
    const queue = setUp(1);
    let seen = 0;
    for (let n = 0; n < 20_000; n++) {
      queue
        .deliveries()
        .pipe(take(1))
        .subscribe(() => seen++);
    }
    await until(() => seen === 20_000);
    expect(queue.size).toBe(1);
  });

  it('with a handler that replaces its own subscription a hundred thousand times', async () => {
    const queue = setUp(100_000);
    let seen = 0;
    const listen = (): void => {
      queue
        .deliveries({ prefetch: 1 })
        .pipe(take(1))
        .subscribe((delivery) => {
          seen++;
          void delivery.ack();
          listen();
        });
    };
    listen();
    await until(() => seen === 100_000);
    expect(queue.unfinished).toBe(0);
  });

  it.each(['before', 'after'])(
    'with a pipeline under retry(20_000) that fails on a message published %s the subscription',
    async (when) => {
      const queue = setUp();
      const attempts: number[] = [];
      const errors: unknown[] = [];
      const fail = map((delivery: Delivery): number => {
        attempts.push(delivery.attempt);
        throw new Error(`failed on ${numberOf(delivery.payload)}`);
      });
      if (when === 'before') void queue.publish('key', PAYLOAD);
      queue
        .deliveries()
        .pipe(fail, retry(20_000))
        .subscribe({ error: (error) => errors.push(error) });
      if (when === 'after') void queue.publish('key', PAYLOAD);
      await until(() => errors.length > 0);
      expect(errors).toEqual([new Error('failed on 1')]);
      expect(attempts.length).toBe(20_001);
      expect(attempts.at(-1)).toBe(20_001);
      expect([queue.size, queue.inFlight]).toEqual([1, 0]);
    },
  );

  it('with a pipeline under retry(20_000) that fails on every one of many messages', async () => {
    const queue = setUp(50);
    let failures = 0;
    const errors: unknown[] = [];
    const fail = map((): number => {
      failures++;
      throw new Error('failed');
    });
    queue
      .deliveries({ prefetch: 8 })
      .pipe(fail, retry(20_000))
      .subscribe({ error: (error) => errors.push(error) });
    await until(() => errors.length > 0);
    expect(errors).toEqual([new Error('failed')]);
    expect(failures).toBe(20_001);
    expect([queue.size, queue.inFlight]).toEqual([50, 0]);
  });
});
