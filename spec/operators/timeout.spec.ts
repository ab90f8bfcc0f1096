import { concat, NEVER, Observable, of, type Subscriber } from 'rxjs';
import { HandlerTimeoutError } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { type Deferred, deferred, Jobs, Processing, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';

/** Collects the unhandled rejections during `run`. */
async function unhandledDuring(run: () => Promise<void>): Promise<unknown[]> {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    await run();
    await turns(5);
  } finally {
    process.off('unhandledRejection', note);
  }
  return unhandled;
}

describe('Timeout of handle', () => {
  it.each<[string, TestHandler]>([
    ['a promise', () => new Promise(() => {})],
    ['an Observable', () => NEVER],
    ['an Observable that has emitted', () => concat(of('early'), NEVER)],
    [
      'an async generator',
      async function* () {
        await new Promise(() => {});
        yield 1;
      },
    ],
  ])('aborts the signal with a HandlerTimeoutError and fails the handler if it returns %s', async (_, handler) => {
    const signals: AbortSignal[] = [];
    const processing = new Processing(
      (delivery, context) => {
        signals.push(context.signal);
        return handler(delivery, context);
      },
      { timeout: 100, retry: { count: 1, delay: 5 } },
    );
    processing.publish([1]);
    await processing.pass(99);
    expect([signals[0]?.aborted, processing.outcomes.length]).toEqual([false, 0]);
    await processing.pass(1);
    expect(signals[0]?.aborted).toBe(true);
    expect(signals[0]?.reason).toBeInstanceOf(HandlerTimeoutError);
    expect(processing.statuses).toEqual(['1#1 retried']);
    expect(processing.outcomes[0]).toMatchObject({ duration: 100, error: signals[0]?.reason });
    await processing.pass(5);
    expect(signals[1]?.aborted).toBe(false);
    await processing.pass(100);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 rejected']);
    expect([processing.clock.timers, processing.queue.unfinished]).toEqual([0, 0]);
  });

  it('names its duration in the error', async () => {
    const processing = new Processing(() => new Promise(() => {}), { timeout: 1500, retry: { count: 0 } });
    processing.publish([1]);
    await processing.pass(1500);
    const { error } = processing.outcomes[0] ?? {};
    expect(error).toMatchObject({
      code: 'SLUICE_HANDLER_TIMEOUT',
      name: 'HandlerTimeoutError',
      message: expect.stringContaining('1500'),
    });
  });

  it('frees the slot although the handler may continue', async () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { timeout: 10, retry: { count: 0 } });
    processing.publish([1, 2]);
    await processing.pass(10);
    expect(jobs.started).toEqual(['1#1', '2#1']);
    await jobs.finish(1, 'late');
    expect(processing.values).toEqual([]);
    await jobs.finish(2, 'in time');
    expect(processing.values).toEqual(['in time']);
    expect(processing.statuses).toEqual(['1#1 rejected', '2#1 acked']);
    expect(processing.clock.timers).toBe(0);
  });

  it.each<[string, (job: Deferred<unknown>) => void]>([
    ['resolves', (job) => job.resolve('late')],
    ['rejects', (job) => job.reject(new Error('late'))],
  ])('ignores a promise that %s later', async (_, settle) => {
    const job = deferred<unknown>();
    let processing: Processing | undefined;
    const unhandled = await unhandledDuring(async () => {
      processing = new Processing(() => job.promise, { timeout: 10, retry: { count: 0 } });
      processing.publish([1]);
      await processing.pass(10);
      settle(job);
    });
    expect(unhandled).toEqual([]);
    expect([processing?.values, processing?.statuses]).toEqual([[], ['1#1 rejected']]);
  });

  it('unsubscribes from an Observable after the abort of its signal and ignores later values', () => {
    const order: unknown[] = [];
    let emit = (_: string): void => {};
    const processing = new Processing(
      (_, { signal }) =>
        new Observable<string>((subscriber) => {
          emit = (value) => subscriber.next(value);
          return () => order.push('left', signal.aborted);
        }),
      { timeout: 10, retry: { count: 0 } },
    );
    processing.publish([1]);
    processing.clock.advance(10);
    emit('late');
    expect([order, processing.values]).toEqual([['left', true], []]);
  });

  it.each<[string, (subscriber: Subscriber<string>) => void]>([
    ['emits', (subscriber) => subscriber.next('late')],
    ['emits and completes', (subscriber) => concat(of('late')).subscribe(subscriber)],
    ['errors', (subscriber) => subscriber.error(new Error('late'))],
  ])('ignores an Observable that %s when its signal aborts', (_, react) => {
    const processing = new Processing(
      (__, { signal }) =>
        new Observable<string>((subscriber) => signal.addEventListener('abort', () => react(subscriber))),
      { timeout: 10, retry: { count: 0 } },
    );
    processing.publish([1]);
    processing.clock.advance(10);
    expect([processing.values, processing.statuses]).toEqual([[], ['1#1 rejected']]);
    expect(processing.outcomes[0]?.error).toBeInstanceOf(HandlerTimeoutError);
  });

  it('calls return() of a waiting iterator', async () => {
    let returned = 0;
    const iterable = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<string>>(() => {}),
        return: async () => {
          returned++;
          return { done: true as const, value: undefined };
        },
      }),
    };
    const processing = new Processing(() => iterable, { timeout: 10, retry: { count: 0 } });
    processing.publish([1]);
    await processing.pass(9);
    expect(returned).toBe(0);
    await processing.pass(1);
    expect(returned).toBe(1);
    expect(processing.statuses).toEqual(['1#1 rejected']);
  });

  it('is measured from the start of each handler', async () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { timeout: 10, concurrency: 2, retry: { count: 0 } });
    processing.publish([1]);
    await processing.pass(6);
    processing.publish([2, 3]);
    await processing.pass(4);
    expect(jobs.started).toEqual(['1#1', '2#1', '3#1']);
    await processing.pass(5);
    expect(processing.statuses).toEqual(['1#1 rejected']);
    await processing.pass(1);
    expect(processing.statuses).toEqual(['1#1 rejected', '2#1 rejected']);
    await processing.pass(4);
    expect(processing.statuses).toEqual(['1#1 rejected', '2#1 rejected', '3#1 rejected']);
  });

  it('does not exist by default, and its timer ends with the handler', async () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler);
    processing.publish([1]);
    expect(processing.clock.timers).toBe(0);
    const limited = new Processing(jobs.handler, { timeout: 10 });
    limited.publish([2]);
    expect(limited.clock.timers).toBe(1);
    await jobs.finish(2);
    expect(limited.clock.timers).toBe(0);
  });

  it('may exceed the maximum of a timer', async () => {
    const month = 30 * 24 * 3_600_000;
    const processing = new Processing(() => new Promise(() => {}), { timeout: month, retry: { count: 0 } });
    processing.publish([1]);
    await processing.pass(month - 1);
    expect(processing.outcomes).toEqual([]);
    await processing.pass(1);
    expect(processing.statuses).toEqual(['1#1 rejected']);
  });

  it('does not affect a delivery that the handler has settled', async () => {
    const settling = new Processing(
      (delivery) => {
        void delivery.ack();
        return new Promise(() => {});
      },
      { timeout: 10 },
    );
    settling.publish([1, 2]);
    await settling.pass(10);
    await settling.pass(10);
    expect(settling.statuses).toEqual(['1#1 acked', '2#1 acked']);
    expect(settling.queue.unfinished).toBe(0);
  });

  it('lets the handler settle its delivery when its signal aborts', async () => {
    const processing = new Processing(
      (delivery, { signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => void delivery.reject());
        }),
      { timeout: 10 },
    );
    processing.publish([1]);
    await processing.pass(10);
    expect(processing.statuses).toEqual(['1#1 rejected']);
    expect(numberOf(processing.outcomes[0]?.delivery.payload)).toBe(1);
    expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
  });
});
