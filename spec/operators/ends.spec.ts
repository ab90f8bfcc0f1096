import { concat, defer, Observable, of, Subject, take, throwError } from 'rxjs';
import { type Delivery, handle, MemoryBackend } from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { FakeDelivery, Handled, Jobs, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const BOOM = new Error('source');

/** A source of fake deliveries and a handler that the test finishes. */
function overSubject(options: ConstructorParameters<typeof Handled>[2] = {}) {
  const source = new Subject<Delivery>();
  const jobs = new Jobs();
  const handled = new Handled(source, jobs.handler, options);
  const deliveries = upTo(4).map((n) => new FakeDelivery(n));
  for (const delivery of deliveries) source.next(delivery);
  return { source, jobs, handled, deliveries, calls: () => deliveries.map(({ calls }) => calls) };
}

describe('Completion of the source of handle', () => {
  it('is forwarded once all handlers have finished', async () => {
    const { source, jobs, handled, calls } = overSubject({ concurrency: 2 });
    source.complete();
    for (const n of upTo(4)) {
      expect(handled.completed).toBe(false);
      await jobs.finish(n, n);
    }
    expect([handled.completed, handled.values]).toEqual([true, [1, 2, 3, 4]]);
    expect(calls()).toEqual([['ack'], ['ack'], ['ack'], ['ack']]);
  });

  it('follows the messages that waited behind the first, synchronously', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const { deliveries } = new Holder(queue);
    for (const n of upTo(5)) void queue.publish('number', { n });
    const jobs = new Jobs();
    const handled = new Handled(of(...deliveries), (delivery, context) =>
      numberOf(delivery.payload) === 1 ? jobs.handler(delivery, context) : numberOf(delivery.payload),
    );
    await jobs.finish(1, 1);
    expect([handled.values, handled.completed, queue.unfinished]).toEqual([upTo(5), true, 0]);
  });

  it('is forwarded immediately if nothing runs', () => {
    const handled = new Handled(of(), () => 1);
    expect(handled.completed).toBe(true);
    expect(new Handled(of(new FakeDelivery(1)), () => 1)).toMatchObject({ completed: false });
  });

  it('of a closed queue follows all messages and retries', async () => {
    const processing = new Processing(
      ({ attempt }) => {
        if (attempt === 1) throw new Error('boom');
      },
      { retry: { delay: 50 } },
    );
    processing.publish([1, 2]);
    void processing.queue.close();
    await processing.pass(49);
    expect(processing.completed).toBe(false);
    await processing.pass(1);
    expect([processing.completed, processing.statuses.slice(2)]).toEqual([true, ['1#2 acked', '2#2 acked']]);
  });

  it('waits for retries in place and dead letters', async () => {
    const { scheduler, ...clock } = new Processing(() => {}).clock;
    void clock;
    const source = new Subject<Delivery>();
    const handled = new Handled(source, () => Promise.reject(new Error('boom')), {
      scheduler,
      orderBy: 'key',
      retry: { count: 1, delay: 10 },
    });
    const delivery = new FakeDelivery(1);
    source.next(delivery);
    source.complete();
    await turns();
    expect(handled.completed).toBe(false);
    scheduler.maxFrames = 10;
    scheduler.flush();
    await turns();
    expect([handled.completed, delivery.calls]).toEqual([true, ['reject']]);
  });
});

describe('An error of the source of handle', () => {
  it('ends the stream once the running handlers have finished', async () => {
    const { source, jobs, handled, calls } = overSubject({ concurrency: 2 });
    source.error(BOOM);
    expect([handled.error, jobs.running]).toEqual([undefined, [1, 2]]);
    await jobs.finish(1, 'one');
    expect([handled.error, handled.values, jobs.running]).toEqual([undefined, ['one'], [2]]);
    await jobs.finish(2, 'two');
    expect([handled.error, handled.values, handled.completed]).toEqual([BOOM, ['one', 'two'], false]);
    expect(calls()).toEqual([['ack'], ['ack'], ['release'], ['release']]);
    expect(jobs.signals.get(1)?.aborted).toBe(false);
  });

  it('ends the stream immediately if nothing runs', () => {
    const handled = new Handled(
      concat(
        of(new FakeDelivery(1)),
        throwError(() => BOOM),
      ),
      () => 'done',
    );
    expect(handled.values).toEqual([]);
    return turns().then(() => expect([handled.values, handled.error]).toEqual([['done'], BOOM]));
  });

  it('ends the stream although a running handler fails', async () => {
    const { source, jobs, handled, calls } = overSubject();
    source.error(BOOM);
    await jobs.fail(1);
    expect(handled.error).toBe(BOOM);
    expect(calls()).toEqual([['nack'], ['release'], ['release'], ['release']]);
  });

  it('is forwarded if it happens during the subscription', () => {
    const handled = new Handled(
      new Observable<Delivery>(() => {
        throw BOOM;
      }),
      () => 1,
    );
    expect(handled.error).toBe(BOOM);
  });

  it('can be retried with retry()', async () => {
    let left = 2;
    const delivery = new FakeDelivery(1);
    const source = defer(() => (left-- > 0 ? throwError(() => BOOM) : of(delivery)));
    const values: unknown[] = [];
    const operator = handle(() => 'done');
    for (const _ of upTo(3)) source.pipe(operator).subscribe({ next: (value) => values.push(value), error: () => {} });
    await turns();
    expect(values).toEqual(['done']);
  });
});

describe('Unsubscribing from handle', () => {
  it('aborts the signals and releases running and waiting messages without counting an attempt', async () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { concurrency: 2 });
    processing.publish(upTo(4));
    const [one, two] = [jobs.signals.get(1), jobs.signals.get(2)];
    processing.subscription.unsubscribe();
    expect([one?.aborted, two?.aborted]).toEqual([true, true]);
    expect(processing.statuses).toEqual(upTo(4).map((n) => `${n}#1 released`));
    expect([processing.queue.size, processing.queue.inFlight]).toEqual([4, 0]);
    expect(new Holder(processing.queue).attempts).toEqual(upTo(4).map((n) => [n, 1]));
    await jobs.finish(1, 'late');
    await jobs.fail(2);
    await turns();
    expect([processing.values, processing.statuses.length, jobs.started.length, processing.clock.timers]).toEqual([
      [],
      4,
      2,
      0,
    ]);
  });

  it('leaves no timer of a handler with a timeout', () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { timeout: 1000, concurrency: 2 });
    processing.publish(upTo(3));
    expect(processing.clock.timers).toBe(2);
    processing.subscription.unsubscribe();
    expect(processing.clock.timers).toBe(0);
  });

  it("inside a handler prevents a subscription to the handler's result", () => {
    let begun = 0;
    const endless = new Observable<number>(() => {
      begun++;
    });
    const iterable = {
      [Symbol.asyncIterator]() {
        begun++;
        return { next: () => new Promise<never>(() => {}) };
      },
    };
    for (const result of [endless, iterable]) {
      const processing: Processing = new Processing(
        () => {
          processing.subscription.unsubscribe();
          return result;
        },
        { timeout: 1000 },
      );
      processing.publish([1]);
      expect([begun, processing.clock.timers, processing.statuses]).toEqual([0, 0, ['1#1 released']]);
    }
  });

  it('never uses up a retry', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    void queue.publish('number', { n: 1 });
    for (const _ of upTo(100)) {
      const handled = new Handled(queue.deliveries(), () => new Promise(() => {}), { deliveryLimit: 4 });
      handled.subscription.unsubscribe();
      expect(handled.statuses).toEqual(['1#1 released']);
    }
  });

  it('unsubscribes from Observables, returns iterators, and aborts signals that are read later', async () => {
    const order: string[] = [];
    let context: { signal: AbortSignal } | undefined;
    const processing = new Processing(
      ({ payload }, given) => {
        if (numberOf(payload) === 3) {
          context = given;
          return new Promise(() => {});
        }
        if (numberOf(payload) === 1) return new Observable(() => () => void order.push('left'));
        return {
          [Symbol.asyncIterator]: () => ({
            next: () => new Promise(() => {}),
            return: async () => {
              order.push('returned');
              return { done: true, value: undefined };
            },
          }),
        };
      },
      { concurrency: 3 },
    );
    processing.publish(upTo(3));
    await turns();
    processing.subscription.unsubscribe();
    expect(order).toEqual(['left', 'returned']);
    expect(context?.signal.aborted).toBe(true);
  });

  it.each<[string, () => unknown]>([
    ['a value', () => 'done'],
    ['a promise', async () => 'done'],
  ])('with take(1) acknowledges the message whose handler returned %s and requeues the others', async (_, handler) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const statuses: string[] = [];
    const values: unknown[] = [];
    const operator = handle(handler, {
      onOutcome: ({ status, delivery }) => statuses.push(`${numberOf(delivery.payload)} ${status}`),
    });
    queue
      .deliveries()
      .pipe(operator, take(1))
      .subscribe((value) => values.push(value));
    for (const n of upTo(3)) void queue.publish('number', { n });
    await turns();
    expect(values).toEqual(['done']);
    expect(statuses[0]).toBe('1 acked');
    expect(new Holder(queue).attempts).toEqual([
      [2, 1],
      [3, 1],
    ]);
  });

  it('with take(1) releases a message whose Observable has not completed', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    queue
      .deliveries()
      .pipe(
        handle(() => concat(of(1), new Subject<number>())),
        take(1),
      )
      .subscribe();
    void queue.publish('number', { n: 1 });
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
  });

  it('inside a handler releases its own delivery, whatever it returns', async () => {
    const ends: (() => unknown)[] = [
      () => 'value',
      () => of(1),
      async () => 'value',
      () => Promise.reject(new Error('boom')),
      () => {
        throw new Error('boom');
      },
      async function* () {
        yield 1;
      },
    ];
    for (const end of ends) {
      const processing: Processing = new Processing(
        () => {
          processing.subscription.unsubscribe();
          return end();
        },
        { timeout: 5 },
      );
      processing.publish([1, 2]);
      await processing.pass(10);
      expect([processing.statuses.filter((status) => status.startsWith('1')), processing.values]).toEqual([
        ['1#1 released'],
        [],
      ]);
      expect(new Holder(processing.queue).attempts).toEqual([
        [1, 1],
        [2, 1],
      ]);
      expect(processing.clock.timers).toBe(0);
    }
  });

  it('inside next() starts no other handler', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const runs: number[] = [];
    const subscription = queue
      .deliveries()
      .pipe(
        handle(({ payload }) => {
          runs.push(numberOf(payload));
          return of('a', 'b');
        }),
      )
      .subscribe(() => subscription.unsubscribe());
    for (const n of upTo(3)) void queue.publish('number', { n });
    await turns();
    expect(runs).toEqual([1]);
    expect(new Holder(queue).attempts).toEqual(upTo(3).map((n) => [n, 1]));
  });

  it('takes no more from a source that emits synchronously', () => {
    let emitted = 0;
    const endless = new Observable<Delivery>((subscriber) => {
      while (!subscriber.closed && emitted < 1000) subscriber.next(new FakeDelivery(++emitted));
    });
    const operator = handle(() => of('at once'), { concurrency: 3 });
    endless.pipe(operator, take(3)).subscribe();
    expect(emitted).toBe(3);
  });
});

describe('Aborting the signal of deliveries()', () => {
  it('finishes running and waiting messages, then completes the stream', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, {}, { signal: controller.signal, prefetch: 2 });
    processing.publish(upTo(3));
    controller.abort();
    expect([jobs.running, jobs.signals.get(1)?.aborted]).toEqual([[1], false]);
    await jobs.finish(1);
    expect([jobs.running, processing.completed]).toEqual([[2], false]);
    await jobs.finish(2);
    expect([processing.completed, processing.statuses]).toEqual([true, ['1#1 acked', '2#1 acked']]);
    expect(processing.queue.size).toBe(1);
  });
});
