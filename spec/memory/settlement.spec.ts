import { config, map, take } from 'rxjs';
import { type Delivery, MemoryBackend } from 'sluice';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

type Settle = 'ack' | 'nack' | 'release' | 'reject';
const SETTLEMENTS: readonly [Settle, Delivery['settled'], number][] = [
  ['ack', 'acked', 0],
  ['nack', 'retried', 1],
  ['release', 'released', 1],
  ['reject', 'rejected', 0],
];

/** A queue with a virtual clock. */
function setUp() {
  const clock = new VirtualClock();
  const logger = recordingLogger();
  const queue = new MemoryBackend({ scheduler: clock.scheduler, logger });
  return { clock, logger, queue };
}

describe('Settlement of a delivery', () => {
  it.each(SETTLEMENTS)(
    'with %s takes effect synchronously, counts, and sets `settled` to %s',
    async (settle, settled, unfinished) => {
      const { queue, logger } = setUp();
      void publishAll(queue, [1]);
      const delivery = new Holder(queue).of(1);
      expect(delivery.settled).toBe(false);
      const counted = delivery[settle]();
      expect(delivery.settled).toBe(settled);
      expect([queue.inFlight, queue.unfinished]).toEqual([0, unfinished]);
      expect(await counted).toBe(true);
      expect(logger.warnings).toEqual([]);
    },
  );

  it.each(SETTLEMENTS)(
    'with %s wins over later ones, which log one warning each and resolve with false',
    async (settle, settled, unfinished) => {
      for (const [later] of SETTLEMENTS) {
        const { queue, logger } = setUp();
        void publishAll(queue, [1]);
        const delivery = new Holder(queue).of(1);
        await delivery[settle]();
        expect(await delivery[later]()).toBe(false);
        expect(logger.warnings.length).toBe(1);
        expect(await delivery.ack()).toBe(false);
        expect(logger.warnings.length).toBe(2);
        expect(delivery.settled).toBe(settled);
        expect(queue.unfinished).toBe(unfinished);
      }
    },
  );

  it('never takes unfinished below zero', async () => {
    const { queue } = setUp();
    const counts: number[] = [];
    queue.unfinished$.subscribe((count) => counts.push(count));
    void publishAll(queue, upTo(3));
    const holder = new Holder(queue);
    for (const delivery of holder.deliveries) {
      await delivery.ack();
      for (const [settle] of SETTLEMENTS) await delivery[settle]();
    }
    expect(queue.unfinished).toBe(0);
    expect(counts).toEqual([0, 1, 2, 3, 2, 1, 0]);
  });

  it('may happen in any order', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(3));
    const holder = new Holder(queue);
    await holder.of(1).ack();
    expect(await holder.of(1).ack()).toBe(false);
    expect(await holder.of(2).nack()).toBe(true);
    expect(await holder.of(3).reject()).toBe(true);
    expect(queue.unfinished).toBe(1);
  });

  it('with ack or reject is final', () => {
    const { queue, clock } = setUp();
    void publishAll(queue, [1, 2]);
    const holder = new Holder(queue);
    void holder.of(1).ack();
    void holder.of(2).reject(new Error('bad'));
    clock.advance(1_000_000);
    expect(holder.numbers).toEqual([1, 2]);
    expect(new Holder(queue).numbers).toEqual([]);
  });

  it('counts an attempt with nack and none with release', () => {
    const { queue, clock } = setUp();
    void publishAll(queue, [1]);
    const holder = new Holder(queue);
    void holder.of(1).nack();
    clock.advance();
    void holder.of(1).release();
    clock.advance();
    void holder.of(1).nack();
    clock.advance();
    expect(holder.attempts).toEqual([
      [1, 1],
      [1, 2],
      [1, 2],
      [1, 3],
    ]);
  });

  it('returns a requeued message to its original place', () => {
    const { queue, clock } = setUp();
    void publishAll(queue, upTo(5));
    const holder = new Holder(queue, { prefetch: 3 });
    void holder.of(2).nack();
    void holder.of(1).release();
    void holder.of(3).nack();
    clock.advance();
    expect(holder.attempts.slice(3)).toEqual([
      [1, 1],
      [2, 2],
      [3, 2],
    ]);
  });

  it('does not affect a message that was redelivered to another subscriber', async () => {
    const { queue, logger } = setUp();
    void publishAll(queue, [1]);
    const first = new Holder(queue);
    const second = new Holder(queue);
    first.subscription.unsubscribe();
    const [stale, current] = [first.of(1), second.of(1)];
    expect(current.attempt).toBe(2);
    expect(await stale.ack()).toBe(false);
    expect(await stale.nack()).toBe(false);
    expect(logger.warnings.length).toBe(2);
    expect([queue.inFlight, current.settled]).toEqual([1, false]);
    expect(await current.ack()).toBe(true);
    expect(queue.unfinished).toBe(0);
  });

  it.each([
    ['RangeError', -1],
    ['RangeError', Number.POSITIVE_INFINITY],
    ['RangeError', Number.NaN],
    ['TypeError', '5'],
    ['TypeError', null],
  ])('with nack throws a %s for the delay %p, and the delivery stays in flight', async (name, delay) => {
    const { queue } = setUp();
    void publishAll(queue, [1]);
    const delivery = new Holder(queue).of(1);
    expect(await rejectionOf(delivery.nack({ delay: delay as number }))).toMatchObject({
      name,
      message: expect.stringContaining('delay'),
    });
    expect([delivery.settled, queue.inFlight]).toEqual([false, 1]);
    expect(await delivery.ack()).toBe(true);
  });
});

describe('A subscriber to deliveries()', () => {
  it('has a prefetch of 32 by default and exposes it', () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(40));
    expect(queue.deliveries().prefetch).toBe(32);
    expect(queue.deliveries({ prefetch: 5 }).prefetch).toBe(5);
    expect(new Holder(queue).numbers).toEqual(upTo(32));
  });

  it.each<[string, (held: Delivery[]) => Delivery | undefined]>([
    ['the oldest first', (held) => held[0]],
    ['the newest first', (held) => held.at(-1)],
    ['from the middle', (held) => held[held.length >> 1]],
  ])('never has more than its prefetch in flight when it settles %s', (_, choose) => {
    const { queue, clock } = setUp();
    void publishAll(queue, upTo(60));
    const ways: Settle[] = ['ack', 'reject', 'nack', 'ack', 'release'];
    let most = 0;
    const holder = new Holder(queue, { prefetch: 4 }, () => {
      most = Math.max(most, queue.inFlight);
    });
    for (let round = 0; queue.unfinished > 0; round++) {
      void choose(holder.held)?.[ways[round % ways.length] as Settle]();
      clock.advance();
      expect(holder.held.length).toBe(Math.min(4, queue.unfinished));
    }
    expect(most).toBe(4);
    expect(new Set(holder.numbers).size).toBe(60);
  });

  it('requeues its deliveries in flight when it unsubscribes, with one more attempt', () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(4));
    const holder = new Holder(queue, { prefetch: 3 });
    void holder.of(2).ack();
    holder.subscription.unsubscribe();
    expect(holder.deliveries.map(({ settled }) => settled)).toEqual(['retried', 'acked', 'retried', 'retried']);
    expect([queue.size, queue.inFlight]).toEqual([3, 0]);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [3, 2],
      [4, 2],
    ]);
  });

  it('requeues released messages without counting an attempt', () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(2));
    const holder = new Holder(queue);
    void holder.of(1).release();
    holder.subscription.unsubscribe();
    expect(new Holder(queue).attempts).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });

  it('passes its messages to a waiting subscriber synchronously in unsubscribe()', () => {
    const { queue } = setUp();
    const [leaving, waiting] = [new Holder(queue, { prefetch: 2 }), new Holder(queue, { prefetch: 4 })];
    void publishAll(queue, upTo(4));
    expect(leaving.numbers).toEqual([1, 3]);
    leaving.subscription.unsubscribe();
    expect(waiting.attempts).toEqual([
      [2, 1],
      [4, 1],
      [1, 2],
      [3, 2],
    ]);
  });

  it('requeues all messages when an operator below it throws', () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(3));
    const errors: unknown[] = [];
    const boom = new Error('boom');
    const fail = map((delivery: Delivery) => {
      if (numberOf(delivery.payload) === 2) throw boom;
      return delivery;
    });
    queue
      .deliveries()
      .pipe(fail)
      .subscribe({ error: (error) => errors.push(error) });
    expect(errors).toEqual([boom]);
    expect([queue.size, queue.inFlight]).toEqual([3, 0]);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 2],
      [3, 1],
    ]);
  });

  it('keeps a consistent queue when its handler throws', async () => {
    const { queue } = setUp();
    const thrown: unknown[] = [];
    const before = config.onUnhandledError;
    config.onUnhandledError = (error) => thrown.push(error);
    try {
      const boom = new Error('boom');
      const holder = new Holder(queue, { prefetch: 2 }, (delivery) => {
        if (numberOf(delivery.payload) === 1) throw boom;
      });
      void publishAll(queue, upTo(3));
      await turns();
      await new Promise((resolve) => setTimeout(resolve, 0));
      expect(thrown).toEqual([boom]);
      expect(holder.numbers).toEqual([1, 2]);
      expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([1, 2, 3]);
      await Promise.all(holder.held.map((delivery) => delivery.ack()));
      expect(holder.numbers).toEqual([1, 2, 3]);
    } finally {
      config.onUnhandledError = before;
    }
  });

  it('receives no more messages after it unsubscribes inside its handler', () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(4));
    const seen: number[] = [];
    queue
      .deliveries()
      .pipe(take(2))
      .subscribe(({ payload }) => seen.push(numberOf(payload)));
    expect(seen).toEqual([1, 2]);
    expect([queue.size, queue.inFlight]).toEqual([4, 0]);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 2],
      [3, 1],
      [4, 1],
    ]);
  });

  it('keeps its deliveries in flight when its signal aborts and completes when the last one is settled', async () => {
    const { queue, logger } = setUp();
    const controller = new AbortController();
    void publishAll(queue, upTo(4));
    const holder = new Holder(queue, { prefetch: 2, signal: controller.signal });
    controller.abort();
    expect(holder.held.length).toBe(2);
    expect(await holder.of(1).ack()).toBe(true);
    expect([holder.numbers, holder.completed]).toEqual([[1, 2], false]);
    expect(await holder.of(2).nack()).toBe(true);
    expect([holder.numbers, holder.completed]).toEqual([[1, 2], true]);
    expect(logger.warnings).toEqual([]);
    expect(queue.size).toBe(3);
  });

  it('completes immediately on an abort with nothing in flight or an aborted signal', () => {
    const { queue } = setUp();
    const controller = new AbortController();
    const waiting = new Holder(queue, { signal: controller.signal });
    controller.abort();
    expect([waiting.completed, waiting.error]).toEqual([true, undefined]);
    void publishAll(queue, [1]);
    const late = new Holder(queue, { signal: controller.signal });
    expect([late.completed, late.numbers, queue.size]).toEqual([true, [], 1]);
  });
});

describe('A redelivery', () => {
  it.each(['nack', 'release'] as const)(
    'after %s reaches the same subscriber in a later macrotask of the scheduler',
    (settle) => {
      const { queue, clock } = setUp();
      void publishAll(queue, upTo(2));
      const holder = new Holder(queue, { prefetch: 1 });
      void holder.of(1)[settle]();
      expect(holder.numbers).toEqual([1]);
      clock.advance();
      expect(clock.scheduler.now()).toBe(0);
      expect(holder.numbers).toEqual([1, 1]);
    },
  );

  it.each(['nack', 'release'] as const)('after %s happens in real time without a scheduler', async (settle) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    void publishAll(queue, [1]);
    const holder = new Holder(queue);
    await holder.of(1)[settle]();
    await Promise.resolve();
    expect(holder.numbers).toEqual([1]);
    const second = new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (holder.numbers.length < 2) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    await second;
    expect(holder.of(1).attempt).toBe(settle === 'nack' ? 2 : 1);
  });

  it.each(['nack', 'release'] as const)('after %s delays the next messages of the same subscriber', (settle) => {
    const { queue, clock } = setUp();
    void publishAll(queue, upTo(3));
    const holder = new Holder(queue, { prefetch: 3 });
    void holder.of(2)[settle]();
    void holder.of(3).ack();
    void publishAll(queue, [4]);
    expect(holder.numbers).toEqual([1, 2, 3]);
    clock.advance();
    expect(holder.numbers).toEqual([1, 2, 3, 2, 4]);
  });

  it('goes to another waiting subscriber immediately', () => {
    const { queue } = setUp();
    const first = new Holder(queue, { prefetch: 1 });
    const second = new Holder(queue, { prefetch: 1 });
    void publishAll(queue, [1]);
    void first.of(1).nack();
    expect(second.attempts).toEqual([[1, 2]]);
  });

  it('leaves no timer behind if its subscriber unsubscribes meanwhile', async () => {
    const { queue, clock } = setUp();
    void publishAll(queue, [1]);
    const holder = new Holder(queue);
    void holder.of(1).nack();
    holder.subscription.unsubscribe();
    expect(clock.timers).toBe(0);
    clock.advance();
    expect(holder.numbers).toEqual([1]);
    expect(await stateOf(queue.join())).toBe('pending');
    expect(queue.size).toBe(1);
  });
});
