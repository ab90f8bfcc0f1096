import { config, filter, map, type Subscription, take, tap } from 'rxjs';
import { MemoryBackend, type QueueEntry } from 'sluice';
import { Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const numberIn = ([, payload]: QueueEntry): number => numberOf(payload);

/** Collects the errors that RxJS reports as unhandled while `run` runs. */
async function unhandledIn(run: () => void): Promise<unknown[]> {
  const errors: unknown[] = [];
  const before = config.onUnhandledError;
  config.onUnhandledError = (error) => errors.push(error);
  try {
    run();
    await new Promise((resolve) => setTimeout(resolve, 1));
  } finally {
    config.onUnhandledError = before;
  }
  return errors;
}

describe('published$', () => {
  it('emits each entry when it is stored, and none from before the subscription', () => {
    const queue = new MemoryBackend();
    const seen: QueueEntry[] = [];
    void publishAll(queue, [1]);
    queue.published$.subscribe((entry) => seen.push(entry));
    void queue.publish('orders.created', { total: 2 });
    queue.tryPublish('orders.paid', { total: 3 });
    expect(seen).toEqual([
      ['orders.created', { total: 2 }],
      ['orders.paid', { total: 3 }],
    ]);
  });

  it('emits with and without consumers, and once for all groups', () => {
    const queue = new MemoryBackend({ groups: ['a', 'b'] });
    const seen: number[] = [];
    queue.published$.pipe(map(numberIn)).subscribe((n) => seen.push(n));
    new Holder(queue, { group: 'a' });
    void publishAll(queue, upTo(3));
    expect(seen).toEqual(upTo(3));
  });

  it('emits a waiting publish when it is admitted, and never a refused one', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const seen: number[] = [];
    queue.published$.pipe(map(numberIn)).subscribe((n) => seen.push(n));
    const controller = new AbortController();
    void publishAll(queue, [1]);
    queue.publish('number', { n: 2 }, { signal: controller.signal }).catch(() => {});
    void publishAll(queue, [3]);
    queue.tryPublish('number', { n: 4 });
    queue.publish('', { n: 5 }).catch(() => {});
    expect(seen).toEqual([1]);
    controller.abort();
    queue.clear();
    expect(seen).toEqual([1, 3]);
  });

  it('emits nothing that an overflow policy dropped', () => {
    const queue = new MemoryBackend({ capacity: 1, overflow: 'drop-newest' });
    const seen: number[] = [];
    queue.published$.pipe(map(numberIn)).subscribe((n) => seen.push(n));
    void publishAll(queue, upTo(3));
    expect(seen).toEqual([1]);
  });

  it('emits nothing for a redelivery', () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    const seen: number[] = [];
    queue.published$.pipe(map(numberIn)).subscribe((n) => seen.push(n));
    const holder = new Holder(queue);
    void publishAll(queue, [1]);
    void holder.of(1).nack();
    clock.advance();
    expect(holder.numbers).toEqual([1, 1]);
    expect(seen).toEqual([1]);
  });

  it('emits in order to every observer when one of them publishes', () => {
    const queue = new MemoryBackend();
    const [first, second]: [number[], number[]] = [[], []];
    let depth = 0;
    const depths: number[] = [];
    queue.published$.pipe(map(numberIn)).subscribe((n) => {
      depths.push(++depth);
      first.push(n);
      if (n < 5) void publishAll(queue, [n + 1]);
      depth--;
    });
    queue.published$.pipe(map(numberIn)).subscribe((n) => second.push(n));
    void publishAll(queue, [1]);
    expect([first, second]).toEqual([upTo(5), upTo(5)]);
    expect(depths).toEqual([1, 1, 1, 1, 1]);
    expect(queue.size).toBe(5);
  });

  it('keeps a consistent queue when an observer throws', async () => {
    const queue = new MemoryBackend();
    const boom = new Error('boom');
    const seen: number[] = [];
    const holder = new Holder(queue, { prefetch: 1 });
    const errors = await unhandledIn(() => {
      queue.published$.subscribe(() => {
        throw boom;
      });
      queue.published$.pipe(map(numberIn)).subscribe((n) => seen.push(n));
      void publishAll(queue, upTo(2));
    });
    expect(errors).toEqual([boom, boom]);
    expect(seen).toEqual([1, 2]);
    expect([holder.numbers, queue.size, queue.inFlight]).toEqual([[1], 1, 1]);
  });

  it('ends only for the observer whose operator failed', async () => {
    const queue = new MemoryBackend();
    const errors: unknown[] = [];
    const seen: number[] = [];
    const fail = tap(() => {
      throw new Error('boom');
    });
    queue.published$.pipe(fail).subscribe({ error: (error) => errors.push(error) });
    queue.published$.pipe(map(numberIn)).subscribe((n) => seen.push(n));
    void publishAll(queue, upTo(3));
    expect(errors.length).toBe(1);
    expect(seen).toEqual(upTo(3));
    expect((await pull(queue.consume(), 3)).map(numberOf)).toEqual(upTo(3));
  });

  it('can be unsubscribed from inside an observer', () => {
    const queue = new MemoryBackend();
    const seen: number[] = [];
    const subscription: Subscription = queue.published$.pipe(map(numberIn)).subscribe((n) => {
      seen.push(n);
      if (n === 2) subscription.unsubscribe();
    });
    void publishAll(queue, upTo(4));
    expect(seen).toEqual([1, 2]);
  });

  it('has no next() method', () => {
    const queue = new MemoryBackend();
    expect('next' in queue.published$).toBe(false);
    expect('next' in queue.unfinished$).toBe(false);
  });
});

describe('unfinished$', () => {
  it('replays the current count, then emits every change', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    const [early, late]: [number[], number[]] = [[], []];
    queue.unfinished$.subscribe((count) => early.push(count));
    void publishAll(queue, upTo(2));
    const holder = new Holder(queue);
    queue.unfinished$.subscribe((count) => late.push(count));
    void holder.of(1).nack();
    void holder.of(2).ack();
    clock.advance();
    void holder.of(1).reject();
    expect(early).toEqual([0, 1, 2, 1, 0]);
    expect(late).toEqual([2, 1, 0]);
  });

  it('emits the change of clear() and ends at 0', () => {
    const queue = new MemoryBackend();
    const seen: number[] = [];
    void publishAll(queue, upTo(3));
    queue.unfinished$.subscribe((count) => seen.push(count));
    queue.clear();
    expect([seen[0], seen.at(-1)]).toEqual([3, 0]);
  });

  it('emits in order to every observer when one of them publishes', () => {
    const queue = new MemoryBackend();
    const seen: number[][] = [[], [], []];
    queue.unfinished$.subscribe((count) => seen[0]?.push(count));
    queue.unfinished$.subscribe((count) => {
      seen[1]?.push(count);
      if (count > 0 && count < 5) void publishAll(queue, [count + 1]);
    });
    queue.unfinished$.subscribe((count) => seen[2]?.push(count));
    void publishAll(queue, [1]);
    for (const counts of seen) expect(counts).toEqual([0, 1, 2, 3, 4, 5]);
    expect(queue.unfinished).toBe(5);
  });

  it('emits in order when an observer settles', () => {
    const queue = new MemoryBackend();
    const holder = new Holder(queue);
    void publishAll(queue, upTo(3));
    const seen: number[][] = [[], []];
    queue.unfinished$.subscribe((count) => seen[0]?.push(count));
    queue.unfinished$.subscribe((count) => {
      seen[1]?.push(count);
      void holder.held[0]?.ack();
    });
    expect(queue.unfinished).toBe(0);
    expect(seen).toEqual([
      [3, 2, 1, 0],
      [3, 2, 1, 0],
    ]);
  });

  it('emits in order to an observer that subscribes inside another one', () => {
    const queue = new MemoryBackend();
    const seen: number[] = [];
    const atTwo$ = queue.unfinished$.pipe(
      filter((count) => count === 2),
      take(1),
    );
    atTwo$.subscribe(() => {
      queue.unfinished$.subscribe((count) => seen.push(count));
      void publishAll(queue, [3, 4]);
    });
    void publishAll(queue, [1, 2]);
    expect(seen).toEqual([2, 3, 4]);
  });

  it('works when an observer empties and fills the queue a hundred thousand times', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    let rounds = 0;
    queue.unfinished$.subscribe((count) => {
      if (count === 0 && rounds < 100_000) {
        rounds++;
        queue.tryPublish('number', { n: rounds });
      } else if (count === 1) queue.clear();
    });
    expect(rounds).toBe(100_000);
    expect(queue.unfinished).toBe(0);
  });

  it('keeps a consistent queue when an observer throws', async () => {
    const queue = new MemoryBackend();
    const boom = new Error('boom');
    const seen: number[] = [];
    const holder = new Holder(queue);
    const errors = await unhandledIn(() => {
      queue.unfinished$.subscribe((count) => {
        if (count > 0) throw boom;
      });
      queue.unfinished$.subscribe((count) => seen.push(count));
      void publishAll(queue, upTo(2));
      void holder.of(1).ack();
    });
    expect(errors).toEqual([boom, boom, boom]);
    expect(seen).toEqual([0, 1, 2, 1]);
    expect([holder.numbers, queue.unfinished]).toEqual([[1, 2], 1]);
  });

  it('equals the property of the queue after each call', () => {
    const queue = new MemoryBackend();
    let latest = -1;
    queue.unfinished$.subscribe((count) => {
      latest = count;
    });
    const holder = new Holder(queue, { prefetch: 2 });
    const acts = [
      () => void publishAll(queue, upTo(4)),
      () => void holder.of(1).ack(),
      () => void holder.of(2).reject(),
      () => queue.clear(),
      () => holder.subscription.unsubscribe(),
      () => void queue.close({ drain: false }),
    ];
    for (const act of acts) {
      act();
      expect(latest).toBe(queue.unfinished);
      expect(queue.unfinished).toBe(queue.size + queue.inFlight);
    }
  });
});
