import { type Delivery, MemoryBackend } from 'sluice';
import { silentLogger } from '../support/recording-logger.js';

/** Publishes so many messages that the queue no longer reads the clock for each. */
function publishBurst(queue: MemoryBackend): void {
  for (let n = 0; n < 5000; n++) void queue.publish('burst', { n });
}

/** Returns the time of the only message with this key. */
function publishedAt(queue: MemoryBackend, key: string): number {
  const found: Delivery[] = [];
  const subscription = queue.deliveries({ prefetch: 10_000 }).subscribe((delivery) => {
    if (delivery.key === key) found.push(delivery);
  });
  subscription.unsubscribe();
  expect(found).toHaveLength(1);
  return (found[0] as Delivery).publishedAt;
}

const macrotask = () => new Promise((resolve) => setImmediate(resolve));

function block(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

describe('publishedAt of MemoryBackend', () => {
  afterEach(() => jest.useRealTimers());

  it('is exact under fake timers that begin during a burst', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    publishBurst(queue);
    jest.useFakeTimers({ now: Date.now() + 3_600_000 });
    void queue.publish('fake', {});
    jest.advanceTimersByTime(1000);
    void queue.publish('later', {});
    const fake = publishedAt(queue, 'fake');
    expect(fake).toBe(Date.now() - 1000);
    expect(publishedAt(queue, 'later') - fake).toBe(1000);
  });

  it('is exact for the first message of a macrotask, after a burst in the one before', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    publishBurst(queue);
    await macrotask();
    block(5);
    const before = Date.now();
    void queue.publish('next', {});
    const time = publishedAt(queue, 'next');
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
  });

  it('is exact for a publish that waits for room', async () => {
    const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
    await queue.publish('first', {});
    block(5);
    const before = Date.now();
    void queue.publish('second', {});
    const after = Date.now();
    block(5);
    const values = queue.consume();
    await values.next();
    await values.return?.();
    const time = publishedAt(queue, 'second');
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(after);
  });
});
