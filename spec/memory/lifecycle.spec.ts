import { lastValueFrom, toArray } from 'rxjs';
import { MemoryBackend, QueueClosedError } from 'sluice';
import { drain, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, thrownBy, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { CountingController, listenersOf } from '../support/signals.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(numbers: number[] = []) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger });
  void publishAll(queue, numbers);
  return { clock, queue };
}

describe('close()', () => {
  it('rejects every later publish', async () => {
    const { queue } = setUp();
    await queue.close();
    expect(QueueClosedError.is(await rejectionOf(queue.publish('number', { n: 1 })))).toBe(true);
    expect(QueueClosedError.is(thrownBy(() => queue.tryPublish('number', { n: 1 })))).toBe(true);
    expect(queue.unfinished).toBe(0);
  });

  it('rejects a publish from inside a handler', async () => {
    const { queue } = setUp();
    let published: Promise<void> | undefined;
    new Holder(queue, {}, () => {
      void queue.close();
      published = queue.publish('number', { n: 2 });
    });
    void publishAll(queue, [1]);
    expect(QueueClosedError.is(await rejectionOf(published as Promise<void>))).toBe(true);
    expect(queue.unfinished).toBe(1);
  });

  it('resolves immediately, without waiting for a handler', async () => {
    const { queue } = setUp(upTo(3));
    new Holder(queue, { prefetch: 1 });
    expect(await stateOf(queue.close())).toBe('fulfilled');
    expect(queue.unfinished).toBe(3);
  });

  it('is idempotent and may be called concurrently', async () => {
    const { queue } = setUp([1]);
    const outcomes = await Promise.all(upTo(10).map(() => outcomeOf(queue.close())));
    expect(outcomes).toEqual(Array(10).fill({ state: 'fulfilled', value: undefined }));
    await queue.close();
    expect(queue.size).toBe(1);
  });

  it('delivers waiting messages, then completes the streams', async () => {
    const { queue } = setUp(upTo(5));
    const holder = new Holder(queue, { prefetch: 2 });
    await queue.close();
    expect(holder.completed).toBe(false);
    for (const n of upTo(5)) await holder.of(n).ack();
    expect([holder.numbers, holder.completed]).toEqual([upTo(5), true]);
  });

  it('delivers waiting messages to later consumers, too', async () => {
    const { queue } = setUp(upTo(3));
    await queue.close();
    expect((await drain(queue.consume())).map(numberOf)).toEqual(upTo(3));
    const late = new Holder(queue);
    expect([late.numbers, late.completed]).toEqual([[], true]);
  });

  it('completes a stream only when its group has nothing in flight', async () => {
    const { queue } = setUp([1]);
    const busy = new Holder(queue);
    const idle = new Holder(queue);
    await queue.close();
    expect([busy.completed, idle.completed]).toEqual([false, false]);
    await busy.of(1).nack();
    expect(idle.attempts).toEqual([[1, 2]]);
    await idle.of(1).ack();
    expect([busy.completed, idle.completed]).toEqual([true, true]);
  });

  it('delivers delayed messages when they are due', async () => {
    const { queue, clock } = setUp();
    void queue.publish('number', { n: 1 }, { delay: 10 });
    const holder = new Holder(queue);
    await queue.close();
    clock.advance(9);
    expect([holder.numbers, holder.completed]).toEqual([[], false]);
    clock.advance(1);
    expect(holder.numbers).toEqual([1]);
    await holder.of(1).nack({ delay: 5 });
    expect(holder.completed).toBe(false);
    clock.advance(5);
    await holder.of(1).ack();
    expect([holder.numbers, holder.completed]).toEqual([[1, 1], true]);
  });

  it('immediately completes waiting streams of an empty queue', async () => {
    const { queue } = setUp();
    const holder = new Holder(queue);
    const pending = queue.consume().next();
    void queue.close();
    expect(holder.completed).toBe(true);
    expect(await pending).toEqual({ done: true, value: undefined });
  });

  it('discards waiting and delayed messages with drain: false and counts them as settled', async () => {
    const { queue } = setUp(upTo(3));
    void queue.publish('number', { n: 4 }, { delay: 10 });
    const joined = queue.join();
    await queue.close({ drain: false });
    expect([queue.size, queue.unfinished]).toEqual([0, 0]);
    await joined;
    expect(await drain(queue.consume())).toEqual([]);
  });

  it('leaves deliveries in flight to their consumer with drain: false', async () => {
    const { queue } = setUp(upTo(3));
    const holder = new Holder(queue, { prefetch: 1 });
    const joined = queue.join();
    await queue.close({ drain: false });
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 1, 1]);
    expect(await stateOf(joined)).toBe('pending');
    expect(await holder.of(1).ack()).toBe(true);
    await joined;
    expect([holder.numbers, holder.completed]).toEqual([[1], true]);
  });

  it('discards messages that are requeued later with drain: false', async () => {
    const { queue, clock } = setUp(upTo(3));
    const holder = new Holder(queue);
    const joined = queue.join();
    await queue.close({ drain: false });
    expect(await holder.of(1).nack({ delay: 10 })).toBe(true);
    expect(await holder.of(2).release()).toBe(true);
    expect([queue.size, queue.unfinished]).toEqual([0, 1]);
    holder.subscription.unsubscribe();
    expect([queue.size, queue.unfinished]).toEqual([0, 0]);
    await joined;
    expect(clock.timers).toBe(0);
    expect(new Holder(queue).completed).toBe(true);
  });

  it('discards messages with drain: false after a first close() that drains', async () => {
    const { queue, clock } = setUp(upTo(3));
    void queue.publish('number', { n: 4 }, { delay: 10 });
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.close();
    await queue.close({ drain: false });
    expect([queue.size, queue.unfinished]).toEqual([0, 1]);
    await holder.of(1).ack();
    expect(holder.completed).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it('completes published$, also for late subscribers', async () => {
    const { queue } = setUp();
    const seen = lastValueFrom(queue.published$.pipe(toArray()), { defaultValue: [] });
    void publishAll(queue, [1]);
    await queue.close();
    expect(await seen).toEqual([['number', { n: 1 }]]);
    expect(await lastValueFrom(queue.published$.pipe(toArray()))).toEqual([]);
  });

  it('can be called from inside a handler', async () => {
    const { queue } = setUp(upTo(3));
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => {
      void queue.close();
      void delivery.ack();
    });
    expect([holder.numbers, holder.completed]).toEqual([upTo(3), true]);
  });

  it('is called by await using', async () => {
    const { queue } = setUp();
    await queue[Symbol.asyncDispose]();
    expect(QueueClosedError.is(await rejectionOf(queue.publish('number', { n: 1 })))).toBe(true);
  });

  it('leaves no listener on the signals of its consumers', async () => {
    const { queue } = setUp();
    const controller = new CountingController();
    const { signal } = controller;
    new Holder(queue, { signal });
    const pending = queue.consume({ signal }).next();
    const iterated = queue.deliveries({ signal })[Symbol.asyncIterator]().next();
    expect(listenersOf(signal)).toBe(1);
    await queue.close();
    await Promise.all([pending, iterated]);
    expect(listenersOf(signal)).toBe(0);
    expect(controller.removed).toBe(controller.added);
  });
});

describe('join()', () => {
  it('resolves immediately if nothing is unfinished', async () => {
    const { queue } = setUp();
    await queue.join();
    await queue.join();
    await queue.close();
    await queue.join();
  });

  it.each(['ack', 'reject'] as const)('resolves when the last message is settled with %s', async (settle) => {
    const { queue } = setUp(upTo(2));
    const holder = new Holder(queue);
    const joined = [queue.join(), queue.join()];
    await holder.of(1)[settle]();
    expect(await stateOf(joined[0] as Promise<void>)).toBe('pending');
    await holder.of(2)[settle]();
    expect(await Promise.all(joined.map(stateOf))).toEqual(['fulfilled', 'fulfilled']);
  });

  it.each(['nack', 'release'] as const)('keeps waiting after %s', async (settle) => {
    const { queue, clock } = setUp([1]);
    const holder = new Holder(queue);
    const joined = queue.join();
    await holder.of(1)[settle]();
    clock.advance();
    expect(await stateOf(joined)).toBe('pending');
    await holder.of(1).ack();
    expect(await stateOf(joined)).toBe('fulfilled');
  });

  it('waits for delayed messages', async () => {
    const { queue, clock } = setUp();
    void queue.publish('number', { n: 1 }, { delay: 10 });
    const joined = queue.join();
    const holder = new Holder(queue);
    expect(await stateOf(joined)).toBe('pending');
    clock.advance(10);
    await holder.of(1).ack();
    expect(await stateOf(joined)).toBe('fulfilled');
  });

  it('counts a message that is settled twice once', async () => {
    const { queue } = setUp(upTo(2));
    const holder = new Holder(queue);
    const joined = queue.join();
    await holder.of(1).ack();
    await holder.of(1).ack();
    expect(await stateOf(joined)).toBe('pending');
    expect(queue.unfinished).toBe(1);
  });

  it('does not wait for messages that are published after the queue was empty', async () => {
    const { queue } = setUp([1]);
    const holder = new Holder(queue);
    const joined = queue.join();
    void holder.of(1).ack();
    void publishAll(queue, [2]);
    expect(await stateOf(joined)).toBe('fulfilled');
    expect(queue.unfinished).toBe(1);
  });

  it('rejects with the reason of its signal and leaves no listener', async () => {
    const { queue } = setUp([1]);
    const controller = new AbortController();
    const joined = queue.join({ signal: controller.signal });
    expect(listenersOf(controller.signal)).toBe(1);
    controller.abort('enough');
    expect(await rejectionOf(joined)).toBe('enough');
    expect(listenersOf(controller.signal)).toBe(0);
    expect(await rejectionOf(queue.join({ signal: controller.signal }))).toBe('enough');
  });

  it('leaves no listener after it resolved', async () => {
    const { queue } = setUp([1]);
    const { signal } = new AbortController();
    const joined = queue.join({ signal });
    queue.clear();
    await joined;
    await queue.join({ signal });
    expect(listenersOf(signal)).toBe(0);
  });

  it('rejects if the signal is already aborted, even if nothing is unfinished', async () => {
    const { queue } = setUp();
    expect(await rejectionOf(queue.join({ signal: AbortSignal.abort('no') }))).toBe('no');
  });
});

describe('clear()', () => {
  it('removes waiting and delayed messages, returns them in order and counts them as settled', async () => {
    const { queue } = setUp(upTo(3));
    void queue.publish('later', { n: 4 }, { delay: 10 });
    const joined = queue.join();
    const cleared = queue.clear();
    expect(cleared.slice(0, 3)).toEqual(upTo(3).map((n) => ['number', { n }]));
    expect(cleared.slice(3)).toEqual([['later', { n: 4 }]]);
    expect([queue.size, queue.unfinished]).toEqual([0, 0]);
    await joined;
    expect(queue.clear()).toEqual([]);
  });

  it('leaves deliveries in flight to their consumer', async () => {
    const { queue } = setUp(upTo(3));
    const holder = new Holder(queue, { prefetch: 1 });
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([2, 3]);
    expect([queue.inFlight, queue.unfinished]).toEqual([1, 1]);
    expect(await holder.of(1).ack()).toBe(true);
    expect(queue.unfinished).toBe(0);
  });

  it('admits waiting publishes in order', async () => {
    const queue = new MemoryBackend({ capacity: 2 });
    const published = publishAll(queue, upTo(5));
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([1, 2]);
    expect(await Promise.all(published.map(stateOf))).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'pending',
    ]);
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([3, 4]);
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([5]);
  });

  it('completes the streams of a closed queue', async () => {
    const { queue, clock } = setUp();
    void queue.publish('number', { n: 1 }, { delay: 10 });
    const holder = new Holder(queue);
    await queue.close();
    expect(holder.completed).toBe(false);
    queue.clear();
    expect(holder.completed).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it('leaves a working queue', async () => {
    const { queue } = setUp(upTo(3));
    queue.clear();
    void publishAll(queue, [4]);
    expect(await pull(queue.consume(), 1)).toEqual([{ n: 4 }]);
    await turns();
    expect(queue.size).toBe(0);
  });
});
