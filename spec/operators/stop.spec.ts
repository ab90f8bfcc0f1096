import { NEVER, Observable, of, Subject } from 'rxjs';
import { type Delivery, type HandleOptions, handle, MemoryBackend } from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { FakeDelivery, Handled, Jobs, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';

describe('Aborting the `signal` of handle', () => {
  it('starts no handler, finishes running ones, releases the rest and completes', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { concurrency: 2, signal: controller.signal }, { prefetch: 4 });
    processing.publish(upTo(6));
    controller.abort();
    expect([jobs.running, jobs.signals.get(1)?.aborted, processing.completed]).toEqual([[1, 2], false, false]);
    await jobs.finish(2, 'two');
    expect([jobs.running, processing.completed]).toEqual([[1], false]);
    await jobs.finish(1, 'one');
    expect([processing.completed, processing.values, processing.error]).toEqual([true, ['two', 'one'], undefined]);
    expect(jobs.started).toEqual(['1#1', '2#1']);
    expect([processing.queue.size, processing.queue.inFlight, processing.clock.timers]).toEqual([4, 0, 0]);
    expect(new Holder(processing.queue).attempts).toEqual([3, 4, 5, 6].map((n) => [n, 1]));
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('reports requeued messages as released', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { signal: controller.signal }, { prefetch: 3 });
    processing.publish(upTo(3));
    controller.abort();
    await jobs.finish(1);
    expect(processing.statuses).toEqual(['1#1 acked', '2#1 released', '3#1 released']);
    expect(processing.outcomes.map(({ delivery }) => delivery.settled)).toEqual(['acked', 'released', 'released']);
  });

  it('counts no attempt if a reported release makes the subscriber unsubscribe', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const onOutcome: HandleOptions['onOutcome'] = ({ status }) =>
      status === 'released' && processing.subscription.unsubscribe();
    const processing = new Processing(jobs.handler, { signal: controller.signal, onOutcome }, { prefetch: 4 });
    processing.publish(upTo(4));
    controller.abort();
    await jobs.finish(1);
    expect(processing.statuses).toEqual(['1#1 acked', '2#1 released', '3#1 released', '4#1 released']);
    expect(new Holder(processing.queue).attempts).toEqual([2, 3, 4].map((n) => [n, 1]));
  });

  it('releases messages that still arrive once the last handler has ended', async () => {
    const controller = new AbortController();
    const source = new Subject<Delivery>();
    const jobs = new Jobs();
    const handled = new Handled(source, jobs.handler, { signal: controller.signal, concurrency: 5 });
    source.next(new FakeDelivery(1));
    controller.abort();
    const late = [new FakeDelivery(2), new FakeDelivery(3, undefined, { attempt: 1000 })];
    for (const delivery of late) source.next(delivery);
    expect([jobs.started, late.map(({ calls }) => calls), source.observed]).toEqual([['1#1'], [[], []], true]);
    await jobs.finish(1);
    expect([handled.completed, late.map(({ calls }) => calls), source.observed]).toEqual([
      true,
      [['release'], ['release']],
      false,
    ]);
  });

  it('releases messages that arrive while it releases others', async () => {
    const controller = new AbortController();
    const source = new Subject<Delivery>();
    const jobs = new Jobs();
    const handled = new Handled(source, jobs.handler, { signal: controller.signal });
    const last = new FakeDelivery(3);
    const waiting = new FakeDelivery(2, async () => {
      source.next(last);
      return true;
    });
    for (const delivery of [new FakeDelivery(1), waiting]) source.next(delivery);
    controller.abort();
    await jobs.finish(1);
    expect([waiting.calls, last.calls, handled.completed, source.observed]).toEqual([
      ['release'],
      ['release'],
      true,
      false,
    ]);
  });

  it('completes synchronously and unsubscribes from the source if nothing runs', () => {
    const controller = new AbortController();
    const processing = new Processing(() => {}, { signal: controller.signal });
    expect(listenersOf(controller.signal)).toBe(1);
    controller.abort();
    expect([processing.completed, listenersOf(controller.signal)]).toEqual([true, 0]);
    processing.publish([1]);
    expect([processing.queue.size, processing.queue.inFlight]).toEqual([1, 0]);
  });

  it('before the subscription prevents a subscription to the source', () => {
    const controller = new AbortController();
    controller.abort();
    let subscribed = 0;
    const source = new Observable<Delivery>(() => {
      subscribed++;
    });
    const handled = new Handled(source, () => {}, { signal: controller.signal });
    expect([handled.completed, handled.error, subscribed, listenersOf(controller.signal)]).toEqual([
      true,
      undefined,
      0,
      0,
    ]);
  });

  it('inside a handler that returns a value finishes this handler', async () => {
    const controller = new AbortController();
    const processing = new Processing(
      ({ payload }) => {
        if (numberOf(payload) === 2) controller.abort();
        return numberOf(payload);
      },
      { signal: controller.signal },
    );
    processing.publish(upTo(4));
    await turns();
    expect([processing.values, processing.completed]).toEqual([[1, 2], true]);
    expect(new Holder(processing.queue).attempts).toEqual([
      [3, 1],
      [4, 1],
    ]);
  });

  it('inside a handler that waits finishes this handler', async () => {
    const controller = new AbortController();
    const processing = new Processing(
      async ({ payload }) => {
        controller.abort();
        await turns();
        return numberOf(payload);
      },
      { signal: controller.signal },
    );
    processing.publish(upTo(3));
    await turns(8);
    expect([processing.values, processing.completed, processing.statuses]).toEqual([
      [1],
      true,
      ['1#1 acked', '2#1 released', '3#1 released'],
    ]);
  });

  it('inside next() finishes the other running handlers', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const queue = new MemoryBackend({ logger: silentLogger });
    let completed = false;
    queue
      .deliveries()
      .pipe(handle(jobs.handler, { concurrency: 2, signal: controller.signal }))
      .subscribe({
        next: () => controller.abort(),
        complete: () => {
          completed = true;
        },
      });
    for (const n of upTo(4)) void queue.publish('number', { n });
    await jobs.finish(1, 'one');
    expect([jobs.running, completed]).toEqual([[2], false]);
    await jobs.finish(2, 'two');
    expect([completed, queue.size]).toEqual([true, 2]);
  });

  it('works while a source emits synchronously', () => {
    const controller = new AbortController();
    const deliveries = upTo(5).map((n) => new FakeDelivery(n));
    const handled = new Handled(
      of(...deliveries),
      ({ payload }) => {
        if (numberOf(payload) === 2) controller.abort();
      },
      { signal: controller.signal },
    );
    return turns().then(() => {
      expect(handled.completed).toBe(true);
      expect(deliveries.slice(0, 2).map(({ calls }) => calls)).toEqual([['ack'], ['ack']]);
      expect(handled.statuses.filter((status) => status.endsWith('acked'))).toEqual(['1#1 acked', '2#1 acked']);
      expect(deliveries.slice(2).every(({ calls }) => calls.length <= 1 && !calls.includes('ack'))).toBe(true);
    });
  });

  it('retries or gives up a running handler that fails', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const dead: number[] = [];
    const processing = new Processing(jobs.handler, {
      concurrency: 2,
      signal: controller.signal,
      retry: { count: 1, delay: 20 },
      deadLetter: ({ payload }) => void dead.push(numberOf(payload)),
    });
    processing.publish([1]);
    await jobs.fail(1);
    processing.clock.advance(20);
    processing.publish([2]);
    expect(jobs.started).toEqual(['1#1', '1#2', '2#1']);
    controller.abort();
    await jobs.fail(1);
    await jobs.fail(2);
    expect([processing.completed, dead]).toEqual([true, [1]]);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 dead-lettered', '2#1 retried']);
    processing.clock.advance(20);
    expect(new Holder(processing.queue).attempts).toEqual([[2, 2]]);
  });

  it('applies the timeout to a handler that never ends', async () => {
    const controller = new AbortController();
    const processing = new Processing(() => NEVER, { signal: controller.signal, timeout: 100, retry: { count: 0 } });
    processing.publish([1]);
    controller.abort();
    await processing.pass(99);
    expect(processing.completed).toBe(false);
    await processing.pass(1);
    expect([processing.completed, processing.statuses, processing.clock.timers]).toEqual([true, ['1#1 rejected'], 0]);
  });

  it('can be followed by unsubscribing, which ends the wait', () => {
    const controller = new AbortController();
    const processing = new Processing(() => NEVER, { signal: controller.signal });
    processing.publish([1, 2]);
    controller.abort();
    processing.subscription.unsubscribe();
    expect(processing.statuses).toEqual(['1#1 released', '2#1 released']);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('does not hide a later error of the source', async () => {
    const controller = new AbortController();
    const source = new Subject<Delivery>();
    const jobs = new Jobs();
    const handled = new Handled(source, jobs.handler, { signal: controller.signal });
    source.next(new FakeDelivery(1));
    controller.abort();
    source.error(new Error('source'));
    await jobs.finish(1);
    expect([handled.completed, handled.error]).toEqual([false, expect.objectContaining({ message: 'source' })]);
  });

  it('uses one listener for all subscriptions and none afterwards', async () => {
    const controller = new AbortController();
    const queue = new MemoryBackend({ logger: silentLogger });
    const ways = [
      (handled: Handled) => handled.subscription.unsubscribe(),
      () => void queue.publish('number', { n: 1 }),
      () => {},
    ];
    for (const round of upTo(300)) {
      const handled = new Handled(queue.deliveries(), () => 'done', { signal: controller.signal });
      ways[round % ways.length]?.(handled);
      expect(listenersOf(controller.signal)).toBeLessThanOrEqual(1);
    }
    controller.abort();
    await turns();
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it.each<[string, (queue: MemoryBackend, controller: AbortController) => void]>([
    ['completes', (queue) => void queue.close()],
    ['is stopped', (_, controller) => controller.abort()],
  ])('leaves no listener if the stream %s', async (_, end) => {
    const controller = new AbortController();
    const queue = new MemoryBackend({ logger: silentLogger });
    const handled = new Handled(queue.deliveries(), async () => 'done', { signal: controller.signal });
    void queue.publish('number', { n: 1 });
    await turns();
    end(queue, controller);
    await turns();
    expect([handled.completed, listenersOf(controller.signal)]).toEqual([true, 0]);
  });
});
