import { type Delivery, intercept, MemoryBackend, type QueueInterceptor, receive } from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** Holds each delivery until the test lets it go. */
class Gate implements QueueInterceptor {
  readonly waiting = new Map<number, (fate: 'pass' | 'keep' | Error) => void>();

  deliver(delivery: Delivery): Promise<Delivery | undefined> {
    return new Promise((resolve, reject) => {
      this.waiting.set(numberOf(delivery.payload), (fate) => {
        if (fate instanceof Error) reject(fate);
        else resolve(fate === 'pass' ? delivery : undefined);
      });
    });
  }

  async open(n: number, fate: 'pass' | 'keep' | Error = 'pass'): Promise<void> {
    this.waiting.get(n)?.(fate);
    await turns();
  }
}

describe('An asynchronous deliver', () => {
  function open(prefetch = 32) {
    const queue = new MemoryBackend({ logger: silentLogger });
    const gate = new Gate();
    const emitted: Delivery[] = [];
    const controller = new AbortController();
    const end = { completed: false };
    const subscription = intercept(queue, gate)
      .deliveries({ prefetch, signal: controller.signal })
      .subscribe({
        next: (delivery) => emitted.push(delivery),
        complete: () => Object.assign(end, { completed: true }),
      });
    const numbers = () => emitted.map(({ payload }) => numberOf(payload));
    return { queue, gate, emitted, numbers, subscription, controller, end };
  }

  it('keeps the order, and has as many at work as the prefetch allows', async () => {
    const { queue, gate, numbers, emitted } = open(3);
    void publishAll(queue, upTo(5));
    expect([...gate.waiting.keys()]).toEqual([1, 2, 3]);
    await gate.open(2);
    await gate.open(3);
    expect(numbers()).toEqual([]);
    await gate.open(1);
    expect(numbers()).toEqual([1, 2, 3]);
    await emitted[1]?.ack();
    expect([...gate.waiting.keys()]).toEqual([1, 2, 3, 4]);
  });

  it('does not hold up acknowledgements of what was emitted', async () => {
    const { queue, gate, emitted } = open();
    void publishAll(queue, upTo(2));
    await gate.open(1);
    expect(queue.unfinished).toBe(2);
    expect(await emitted[0]?.ack()).toBe(true);
    expect(queue.unfinished).toBe(1);
  });

  it('lets later deliveries pass when an interceptor keeps one', async () => {
    const { queue, gate, numbers } = open();
    void publishAll(queue, upTo(3));
    await gate.open(3);
    await gate.open(2);
    await gate.open(1, 'keep');
    expect(numbers()).toEqual([2, 3]);
  });

  it('releases what was not emitted when the subscriber leaves: its attempt does not count', async () => {
    const { queue, gate, subscription } = open();
    void publishAll(queue, upTo(3));
    await gate.open(1);
    subscription.unsubscribe();
    expect((await queue.peek()).map(({ payload, attempt }) => [numberOf(payload), attempt])).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
    await gate.open(2);
    expect(queue.size).toBe(3);
  });

  it('releases what was not emitted when the signal aborts, and completes when the rest is settled', async () => {
    const { queue, gate, emitted, controller, end } = open();
    void publishAll(queue, upTo(3));
    await gate.open(1);
    controller.abort();
    expect([queue.size, queue.inFlight, end.completed]).toEqual([2, 1, false]);
    await gate.open(2);
    expect(emitted).toHaveLength(1);
    await emitted[0]?.ack();
    expect([queue.size, end.completed]).toEqual([2, true]);
  });

  it('leaves what an interceptor has taken to it when the signal aborts', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const controller = new AbortController();
    const taken: Delivery[] = [];
    intercept(queue, {
      deliver(delivery) {
        if (numberOf(delivery.payload) === 1) return new Promise(() => {});
        taken.push(delivery);
        return undefined;
      },
    })
      .deliveries({ signal: controller.signal })
      .subscribe();
    void publishAll(queue, upTo(2));
    controller.abort();
    expect(await taken[0]?.ack()).toBe(true);
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it('ends with the queue, releases what was not emitted, and waits for no interceptor', async () => {
    const fake = fakeBackend([1, 2, 3].map((n) => ['key', { n }] as const));
    const gate = new Gate();
    const numbers: number[] = [];
    const complete = jest.fn();
    intercept(fake, gate)
      .deliveries()
      .subscribe({ next: ({ payload }) => numbers.push(numberOf(payload)), complete });
    await gate.open(1);
    await fake.close();
    expect(complete).toHaveBeenCalledTimes(1);
    await gate.open(3);
    await gate.open(2);
    expect(numbers).toEqual([1]);
    expect(fake.settlements.map(({ payload, how }) => [numberOf(payload), how])).toEqual([
      [2, 'released'],
      [3, 'released'],
      [1, 'retried'],
    ]);
  });

  it('takes nothing for a receive that was aborted meanwhile', async () => {
    const queue = new MemoryBackend();
    const gate = new Gate();
    const controller = new AbortController();
    const received = receive(intercept(queue, gate), { signal: controller.signal });
    void publishAll(queue, [1]);
    expect(await stateOf(received)).toBe('pending');
    controller.abort('enough');
    expect(await rejectionOf(received)).toBe('enough');
    await gate.open(1);
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it('gives each loop its message in order', async () => {
    const queue = intercept(new MemoryBackend(), {
      async deliver(delivery) {
        await turns(4 - numberOf(delivery.payload));
        return delivery;
      },
    });
    void publishAll(queue, upTo(3));
    const numbers: number[] = [];
    for await (const payload of queue.consume({ prefetch: 3 })) if (numbers.push(numberOf(payload)) === 3) break;
    expect(numbers).toEqual([1, 2, 3]);
    expect(queue.unfinished).toBe(0);
  });
});
