import { asyncScheduler } from 'rxjs';
import { MemoryBackend } from 'sluice';
import { drain, Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { stateOf, turns } from '../support/promises.js';
import { VirtualClock } from '../support/virtual-clock.js';

const BEYOND_A_TIMER = 2 ** 31 + 1000;

function setUp(options: ConstructorParameters<typeof MemoryBackend>[0] = {}) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({ ...options, scheduler: clock.scheduler });
  const publish = (n: number, delay: number) => queue.publish('number', { n }, { delay });
  return { clock, queue, publish };
}

describe('Clock of a queue', () => {
  it('may be set back without affecting due times', async () => {
    const clock = new VirtualClock();
    let setBack = 0;
    jest.spyOn(clock.scheduler, 'now').mockImplementation(() => clock.scheduler.frame - setBack);
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    const holder = new Holder(queue);
    void queue.publish('number', { n: 1 }, { delay: 1000 });
    setBack = 3_600_000;
    clock.advance(999);
    expect(holder.numbers).toEqual([]);
    clock.advance(1);
    expect(holder.numbers).toEqual([1]);
  });
});

describe('A delayed publish', () => {
  it('is not delivered a millisecond before it is due', () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue);
    void publish(1, 10);
    clock.advance(9);
    expect(holder.numbers).toEqual([]);
    clock.advance(1);
    expect(holder.numbers).toEqual([1]);
  });

  it('resolves immediately and counts as waiting and unfinished but not as ready', async () => {
    const { clock, queue, publish } = setUp();
    expect(await stateOf(publish(1, 10))).toBe('fulfilled');
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([1, 0, 1]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    clock.advance(10);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('joins the order when it becomes due', () => {
    const { clock, queue, publish } = setUp();
    void publish(1, 10);
    void publishAll(queue, [2]);
    clock.advance(10);
    void publishAll(queue, [3]);
    expect(new Holder(queue).numbers).toEqual([2, 1, 3]);
  });

  it('joins the order when it becomes due, also without a consumer', () => {
    const { clock, queue, publish } = setUp();
    void publish(1, 10);
    void publish(2, 5);
    void publishAll(queue, [3]);
    clock.advance(100);
    expect(new Holder(queue).numbers).toEqual([3, 2, 1]);
  });

  it('is delivered in due order, then in the order of the calls', () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue, { prefetch: 1000 });
    const due = upTo(300).map((n): [n: number, delay: number] => [n, (n * 7919) % 50]);
    for (const [n, delay] of due) void publish(n, delay);
    clock.advance(50);
    expect(holder.numbers).toEqual(due.toSorted(([n, a], [m, b]) => a - b || n - m).map(([n]) => n));
  });

  it('with a delay of 0 is not delayed', () => {
    const { queue, publish } = setUp();
    const holder = new Holder(queue);
    void publish(1, 0);
    expect(holder.numbers).toEqual([1]);
  });

  it('reaches a waiting consumer', async () => {
    const { clock, queue, publish } = setUp();
    const pending = queue.consume().next();
    void publish(1, 10);
    expect(await stateOf(pending)).toBe('pending');
    clock.advance(10);
    expect(await pending).toEqual({ done: false, value: { n: 1 } });
  });

  it('is distributed between subscribers in turn', () => {
    const { clock, queue, publish } = setUp();
    const holders = [new Holder(queue), new Holder(queue)];
    for (const n of upTo(4)) void publish(n, n);
    clock.advance(10);
    expect(holders.map(({ numbers }) => numbers)).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it('may exceed the maximum of a timer', () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue);
    void publish(1, BEYOND_A_TIMER);
    clock.advance(BEYOND_A_TIMER - 1);
    expect(holder.numbers).toEqual([]);
    clock.advance(1);
    expect(holder.numbers).toEqual([1]);
  });

  it('may exceed the maximum of a timer several times, beside a short delay', () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue);
    void publish(1, 5 * BEYOND_A_TIMER);
    void publish(2, 10);
    clock.advance(10);
    expect(holder.numbers).toEqual([2]);
    clock.advance(5 * BEYOND_A_TIMER - 11);
    expect(holder.numbers).toEqual([2]);
    clock.advance(1);
    expect(holder.numbers).toEqual([2, 1]);
  });

  it('never schedules more than the maximum of a timer', () => {
    const schedule = jest.spyOn(asyncScheduler, 'schedule');
    try {
      const queue = new MemoryBackend();
      const holder = new Holder(queue);
      void queue.publish('number', { n: 1 }, { delay: BEYOND_A_TIMER });
      holder.subscription.unsubscribe();
      queue.clear();
      const asked = schedule.mock.calls.map(([, delay = 0]) => delay);
      expect(asked.length).toBeGreaterThan(0);
      expect(Math.max(...asked)).toBeLessThan(2 ** 31);
    } finally {
      schedule.mockRestore();
    }
  });

  it('is delivered in real time in due order', async () => {
    const queue = new MemoryBackend();
    for (const [n, delay] of [
      [1, 30],
      [2, 3],
      [3, 15],
    ] as const) {
      void queue.publish('number', { n }, { delay });
    }
    const seen = drain(queue.consume());
    await queue.close();
    expect((await seen).map(numberOf)).toEqual([2, 3, 1]);
  });

  it('can be cleared', async () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue);
    void publish(1, 10);
    void publish(2, 5);
    expect(
      queue
        .clear()
        .map(([, payload]) => numberOf(payload))
        .toSorted(),
    ).toEqual([1, 2]);
    expect(queue.unfinished).toBe(0);
    await queue.join();
    clock.advance(100);
    expect(holder.numbers).toEqual([]);
  });
});

describe('A delayed nack', () => {
  it('returns the message to its original place when it is due', async () => {
    const { clock, queue } = setUp();
    void publishAll(queue, upTo(4));
    const holder = new Holder(queue, { prefetch: 1 });
    expect(await holder.of(1).nack({ delay: 10 })).toBe(true);
    expect(holder.numbers).toEqual([1, 2]);
    clock.advance(10);
    void holder.of(2).ack();
    void holder.of(1).ack();
    void holder.of(3).ack();
    expect(holder.attempts).toEqual([
      [1, 1],
      [2, 1],
      [1, 2],
      [3, 1],
      [4, 1],
    ]);
  });

  it('frees its credit immediately, and counts as waiting but not as ready', async () => {
    const { queue } = setUp();
    void publishAll(queue, [1]);
    const holder = new Holder(queue, { prefetch: 1 });
    void holder.of(1).nack({ delay: 10 });
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    void publishAll(queue, [2]);
    expect(holder.numbers).toEqual([1, 2]);
  });

  it('is ordered before a delayed publish with the same due time', () => {
    const { clock, queue, publish } = setUp();
    void publishAll(queue, [1, 2]);
    const holder = new Holder(queue, { prefetch: 2 });
    void publish(3, 10);
    void holder.of(2).nack({ delay: 10 });
    void holder.of(1).nack({ delay: 10 });
    holder.subscription.unsubscribe();
    clock.advance(10);
    expect(new Holder(queue).numbers).toEqual([1, 2, 3]);
  });

  it('may exceed the maximum of a timer', () => {
    const { clock, queue } = setUp();
    void publishAll(queue, [1]);
    const holder = new Holder(queue);
    void holder.of(1).nack({ delay: BEYOND_A_TIMER });
    clock.advance(BEYOND_A_TIMER - 1);
    expect(holder.numbers).toEqual([1]);
    clock.advance(1);
    expect(holder.attempts).toEqual([
      [1, 1],
      [1, 2],
    ]);
  });

  it('is delivered to another consumer if its consumer has unsubscribed', () => {
    const { clock, queue } = setUp();
    void publishAll(queue, [1]);
    const leaving = new Holder(queue);
    void leaving.of(1).nack({ delay: 10 });
    leaving.subscription.unsubscribe();
    const other = new Holder(queue);
    clock.advance(9);
    expect(other.numbers).toEqual([]);
    clock.advance(1);
    expect(other.attempts).toEqual([[1, 2]]);
  });
});

describe('Timer of a queue', () => {
  it('is shared by all delayed messages', () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue, { prefetch: 1000 });
    for (const n of upTo(100)) void publish(n, 1 + ((n * 31) % 97));
    expect(clock.timers).toBe(1);
    clock.advance(50);
    expect(holder.deliveries.length).toBeGreaterThan(0);
    expect(clock.timers).toBe(1);
    clock.advance(50);
    expect(holder.deliveries.length).toBe(100);
    expect(clock.timers).toBe(0);
  });

  it('exists only while messages are delayed', () => {
    const { clock, queue, publish } = setUp();
    expect(clock.timers).toBe(0);
    void publish(1, 10);
    queue.clear();
    expect(clock.timers).toBe(0);
  });

  it('runs in a closed queue only while a consumer is subscribed', async () => {
    const { clock, queue, publish } = setUp();
    void publish(1, 10);
    await queue.close();
    expect(clock.timers).toBe(0);
    const holder = new Holder(queue);
    expect(clock.timers).toBe(1);
    holder.subscription.unsubscribe();
    expect(clock.timers).toBe(0);
    const last = new Holder(queue);
    clock.advance(10);
    expect(last.numbers).toEqual([1]);
    await last.of(1).ack();
    expect(last.completed).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it('runs in a closed queue for a waiting loop until it returns', async () => {
    const { clock, queue, publish } = setUp();
    void publish(1, 10);
    await queue.close();
    const payloads = queue.consume();
    const pending = payloads.next();
    expect(clock.timers).toBe(1);
    await payloads.return?.();
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(clock.timers).toBe(0);
  });

  it('keeps running if a handler unsubscribes', async () => {
    const { clock, queue, publish } = setUp();
    const holder = new Holder(queue, {}, () => holder.subscription.unsubscribe());
    void publish(1, 5);
    void publish(2, 10);
    clock.advance(20);
    expect(holder.numbers).toEqual([1]);
    await turns();
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });
});
