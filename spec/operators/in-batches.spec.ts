import { concat, from, type Observable, of, Subject, take } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Delivery, type DeliveryBatch, type InBatchesOptions, inBatches, MemoryBackend } from 'sluice';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { FakeDelivery } from '../support/handling.js';
import { rejectionOf, thrownBy, turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const numbersOf = ({ deliveries }: DeliveryBatch) => deliveries.map(({ payload }) => numberOf(payload));

/** Records the batches of a source. */
function watch(source: Observable<Delivery>, options: InBatchesOptions, onBatch?: (batch: DeliveryBatch) => void) {
  const batches: DeliveryBatch[] = [];
  const seen = { batches, completed: false, error: undefined as unknown };
  const subscription = source.pipe(inBatches({ logger: silentLogger, ...options })).subscribe({
    next: (batch) => {
      batches.push(batch);
      onBatch?.(batch);
    },
    error: (error: unknown) => {
      seen.error = error;
    },
    complete: () => {
      seen.completed = true;
    },
  });
  return Object.assign(seen, { subscription });
}

function setUp(options: Partial<InBatchesOptions> = {}, onBatch?: (batch: DeliveryBatch) => void) {
  const clock = new VirtualClock();
  const logger = recordingLogger();
  const queue = new MemoryBackend({ scheduler: clock.scheduler, logger });
  const seen = watch(
    queue.deliveries({ prefetch: 100 }),
    { maxSize: 3, maxWait: 10, scheduler: clock.scheduler, ...options },
    onBatch,
  );
  return { clock, logger, queue, seen };
}

describe('inBatches', () => {
  it('emits a batch as soon as it is full', () => {
    const { clock, queue, seen } = setUp();
    void publishAll(queue, upTo(7));
    expect(seen.batches.map(numbersOf)).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect([clock.timers, queue.inFlight]).toEqual([1, 7]);
  });

  it('emits a batch when its first delivery has waited for maxWait', () => {
    const { clock, queue, seen } = setUp();
    void publishAll(queue, [1]);
    clock.advance(6);
    void publishAll(queue, [2]);
    clock.advance(3);
    expect(seen.batches).toEqual([]);
    clock.advance(1);
    expect(seen.batches.map(numbersOf)).toEqual([[1, 2]]);
    expect(clock.timers).toBe(0);
    clock.advance(100);
    void publishAll(queue, [3]);
    clock.advance(9);
    expect(seen.batches.length).toBe(1);
    clock.advance(1);
    expect(seen.batches.map(numbersOf)).toEqual([[1, 2], [3]]);
  });

  it('measures the time of each batch separately, also after a full one', () => {
    const { clock, queue, seen } = setUp();
    void publishAll(queue, [1, 2]);
    clock.advance(8);
    void publishAll(queue, [3, 4]);
    clock.advance(9);
    expect(seen.batches.map(numbersOf)).toEqual([[1, 2, 3]]);
    clock.advance(1);
    expect(seen.batches.map(numbersOf)).toEqual([[1, 2, 3], [4]]);
  });

  it('never emits an empty batch', () => {
    const { clock, seen } = setUp();
    clock.advance(1000);
    expect([seen.batches, clock.timers]).toEqual([[], 0]);
  });

  it('emits batches of one without a timer', () => {
    const { clock, queue, seen } = setUp({ maxSize: 1 });
    void publishAll(queue, [1, 2]);
    expect([seen.batches.map(numbersOf), clock.timers]).toEqual([[[1], [2]], 0]);
  });

  it('with a maxWait of 0 collects synchronous deliveries', () => {
    const { clock, queue, seen } = setUp({ maxWait: 0 });
    void publishAll(queue, [1, 2]);
    expect(seen.batches).toEqual([]);
    clock.advance();
    expect(seen.batches.map(numbersOf)).toEqual([[1, 2]]);
  });

  it('supports a maxWait that exceeds the maximum of a timer', () => {
    const month = 30 * 24 * 3_600_000;
    const { clock, queue, seen } = setUp({ maxWait: month });
    void publishAll(queue, [1]);
    clock.advance(month - 1);
    expect(seen.batches).toEqual([]);
    clock.advance(1);
    expect(seen.batches.length).toBe(1);
  });

  it('emits an incomplete batch when the source completes', () => {
    const clock = new VirtualClock();
    const source = new Subject<Delivery>();
    const seen = watch(source, { maxSize: 3, maxWait: 10, scheduler: clock.scheduler });
    for (const n of [1, 2]) source.next(new FakeDelivery(n));
    source.complete();
    expect([seen.batches.map(numbersOf), seen.completed, clock.timers]).toEqual([[[1, 2]], true, 0]);
    expect(watch(of(), { maxSize: 3, maxWait: 10 })).toMatchObject({ batches: [], completed: true });
  });

  it('releases an incomplete batch when the subscriber unsubscribes', () => {
    const { clock, queue, seen } = setUp();
    void publishAll(queue, upTo(5));
    seen.subscription.unsubscribe();
    expect([clock.timers, queue.inFlight, seen.batches.length]).toEqual([0, 0, 1]);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
      [4, 1],
      [5, 1],
    ]);
  });

  it('does not release deliveries that were settled meanwhile', () => {
    const clock = new VirtualClock();
    const source = new Subject<Delivery>();
    const seen = watch(source, { maxSize: 3, maxWait: 10, scheduler: clock.scheduler });
    const deliveries = [new FakeDelivery(1), new FakeDelivery(2)];
    for (const delivery of deliveries) source.next(delivery);
    void deliveries[0]?.ack();
    seen.subscription.unsubscribe();
    expect(deliveries.map(({ calls }) => calls)).toEqual([['ack'], ['release']]);
  });

  it('releases an incomplete batch when the source fails, and ends with its error', () => {
    const clock = new VirtualClock();
    const source = new Subject<Delivery>();
    const boom = new Error('source');
    const deliveries = upTo(5).map((n) => new FakeDelivery(n));
    const seen = watch(source, { maxSize: 3, maxWait: 10, scheduler: clock.scheduler });
    for (const delivery of deliveries) source.next(delivery);
    source.error(boom);
    expect([seen.batches.map(numbersOf), seen.error, clock.timers]).toEqual([[[1, 2, 3]], boom, 0]);
    expect(deliveries.map(({ calls }) => calls)).toEqual([[], [], [], ['release'], ['release']]);
  });

  it('releases deliveries that arrive while it releases others', () => {
    const clock = new VirtualClock();
    const source = new Subject<Delivery>();
    const last = new FakeDelivery(2);
    const first = new FakeDelivery(1, async () => {
      source.next(last);
      return true;
    });
    const seen = watch(source, { maxSize: 3, maxWait: 10, scheduler: clock.scheduler });
    source.next(first);
    seen.subscription.unsubscribe();
    expect([first.calls, last.calls, clock.timers, source.observed]).toEqual([['release'], ['release'], 0, false]);
  });

  it('with take(1) requeues deliveries after the first batch without counting an attempt', () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger });
    void publishAll(queue, upTo(5));
    const batches: DeliveryBatch[] = [];
    queue
      .deliveries()
      .pipe(inBatches({ maxSize: 2, maxWait: 10, scheduler: clock.scheduler }), take(1))
      .subscribe((batch) => {
        batches.push(batch);
        void batch.ack();
      });
    expect(batches.map(numbersOf)).toEqual([[1, 2]]);
    expect([queue.inFlight, clock.timers]).toEqual([0, 0]);
    expect(new Holder(queue).attempts).toEqual([3, 4, 5].map((n) => [n, 1]));
  });

  it.each<[string, () => Promise<boolean>]>([
    ['rejects', () => Promise.reject(new Error('connection lost'))],
    [
      'throws',
      () => {
        throw new Error('connection lost');
      },
    ],
  ])('releases the others and unsubscribes from its source if release() %s', async (_, answer) => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      const source = new Subject<Delivery>();
      const deliveries = [new FakeDelivery(1, answer), new FakeDelivery(2), new FakeDelivery(3, answer)];
      const seen = watch(source, { maxSize: 10, maxWait: 60_000, scheduler: new VirtualClock().scheduler });
      for (const delivery of deliveries) source.next(delivery);
      try {
        seen.subscription.unsubscribe();
      } catch {
        // RxJS throws the errors of a teardown at the caller of unsubscribe().
      }
      await turns(5);
      expect(deliveries.map(({ calls }) => calls)).toEqual([['release'], ['release'], ['release']]);
      expect([source.observed, unhandled]).toEqual([false, []]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });

  it('uses the time of a marble test', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    scheduler.run(({ hot, expectObservable }) => {
      const queue = new MemoryBackend({ logger: silentLogger });
      hot('                                             ab--cde-f---|').subscribe({
        next: (key) => void queue.publish(key, {}),
        complete: () => void queue.close(),
      });
      const batches$ = new Subject<string>();
      queue
        .deliveries()
        .pipe(inBatches({ maxSize: 3, maxWait: 3 }))
        .subscribe((batch) => {
          batches$.next(String(batch.deliveries.length));
          void batch.ack();
        });
      expectObservable(batches$).toBe('                 ---2--3----1');
    });
  });
});

describe('A batch of inBatches', () => {
  /** Makes a batch of three. */
  function batchOfThree() {
    const { queue, seen, ...rest } = setUp();
    void publishAll(queue, upTo(3));
    return { queue, batch: seen.batches[0] as DeliveryBatch, ...rest };
  }

  it.each([
    ['ack', 'acked', 0],
    ['nack', 'retried', 3],
    ['release', 'released', 3],
    ['reject', 'rejected', 0],
  ] as const)('settles all deliveries with %s', async (method, settled, unfinished) => {
    const { queue, batch, logger } = batchOfThree();
    const counted = batch[method]();
    expect(batch.deliveries.map((delivery) => delivery.settled)).toEqual([settled, settled, settled]);
    expect([await counted, queue.unfinished, logger.warnings]).toEqual([true, unfinished, []]);
  });

  it('is redelivered after a nack with a delay', async () => {
    const { clock, queue, batch } = batchOfThree();
    expect(await batch.nack({ delay: 50 })).toBe(true);
    clock.advance(49);
    expect(queue.inFlight).toBe(0);
    clock.advance(1);
    expect(queue.inFlight).toBe(3);
  });

  it('passes the reason of reject() to each delivery', async () => {
    const reasons: unknown[] = [];
    const answer = async (_: string, argument: unknown) => reasons.push(argument) > 0;
    const seen = watch(from([1, 2].map((n) => new FakeDelivery(n, answer))), { maxSize: 2, maxWait: 10 });
    expect(await seen.batches[0]?.reject('bad')).toBe(true);
    expect(reasons).toEqual(['bad', 'bad']);
  });

  it('does not settle deliveries that were settled separately', async () => {
    const { batch, logger, queue } = batchOfThree();
    await batch.deliveries[1]?.reject();
    expect(await batch.ack()).toBe(true);
    expect(batch.deliveries.map(({ settled }) => settled)).toEqual(['acked', 'rejected', 'acked']);
    expect([logger.warnings, queue.unfinished]).toEqual([[], 0]);
  });

  it.each(['ack', 'nack', 'release', 'reject'] as const)(
    'that is already settled returns false from %s and logs one warning',
    async (method) => {
      const { batch, logger } = batchOfThree();
      await batch.ack();
      expect(await batch[method]()).toBe(false);
      expect(logger.warnings.length).toBe(1);
      expect(batch.deliveries.map(({ settled }) => settled)).toEqual(['acked', 'acked', 'acked']);
    },
  );

  it('rejects a nack with an invalid delay and stays in flight', async () => {
    const { batch, queue } = batchOfThree();
    expect(await rejectionOf(batch.nack({ delay: -1 }))).toMatchObject({ name: 'RangeError' });
    expect([queue.inFlight, await batch.ack()]).toEqual([3, true]);
  });

  it('resolves with false if one settlement did not count', async () => {
    const deliveries = [new FakeDelivery(1), new FakeDelivery(2, async () => false)];
    const seen = watch(from(deliveries), { maxSize: 2, maxWait: 10 });
    expect(await seen.batches[0]?.ack()).toBe(false);
    expect(deliveries.map(({ calls }) => calls)).toEqual([['ack'], ['ack']]);
  });

  it('settles the others if one settlement fails', async () => {
    const broken = new Error('connection lost');
    for (const how of [
      () => Promise.reject(broken),
      (): Promise<boolean> => {
        throw broken;
      },
    ]) {
      const deliveries = [new FakeDelivery(1, how), new FakeDelivery(2)];
      const seen = watch(from(deliveries), { maxSize: 2, maxWait: 10 });
      expect(await rejectionOf(seen.batches[0]?.ack() as Promise<boolean>)).toBe(broken);
      expect(deliveries.map(({ calls }) => calls)).toEqual([['ack'], ['ack']]);
    }
  });
});

describe('inBatches warns', () => {
  it('once if the prefetch is less than maxSize', () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger: silentLogger });
    const operator = inBatches({ maxSize: 100, maxWait: 10, logger });
    for (const prefetch of [99, 50]) queue.deliveries({ prefetch }).pipe(operator).subscribe().unsubscribe();
    expect(logger.warnings).toEqual([expect.stringMatching(/prefetch.*99.*maxSize.*100/)]);
  });

  it('about no sufficient prefetch and no source without one', () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger: silentLogger });
    queue
      .deliveries({ prefetch: 100 })
      .pipe(inBatches({ maxSize: 100, maxWait: 10, logger }))
      .subscribe()
      .unsubscribe();
    concat(of())
      .pipe(inBatches({ maxSize: 100, maxWait: 10, logger }))
      .subscribe();
    expect(logger.warnings).toEqual([]);
  });
});

describe('inBatches throws for', () => {
  it.each<[string, string, object]>([
    ['maxSize', 'RangeError', { maxSize: 0 }],
    ['maxSize', 'RangeError', { maxSize: 1.5 }],
    ['maxSize', 'RangeError', { maxSize: Number.POSITIVE_INFINITY }],
    ['maxSize', 'TypeError', { maxSize: undefined }],
    ['maxSize', 'TypeError', { maxSize: '5' }],
    ['maxWait', 'RangeError', { maxWait: -1 }],
    ['maxWait', 'RangeError', { maxWait: Number.NaN }],
    ['maxWait', 'RangeError', { maxWait: Number.POSITIVE_INFINITY }],
    ['maxWait', 'TypeError', { maxWait: undefined }],
    ['maxWait', 'TypeError', { maxWait: '5' }],
    ['scheduler', 'TypeError', { scheduler: {} }],
    ['scheduler', 'TypeError', { scheduler: null }],
    ['logger', 'TypeError', { logger: {} }],
    ['logger', 'TypeError', { logger: null }],
  ])('an invalid `%s`, with a %s that names it, before the subscription (%p)', (name, error, options) => {
    const made = () => inBatches({ maxSize: 5, maxWait: 10, ...options } as InBatchesOptions);
    expect(thrownBy(made)).toMatchObject({ name: error, message: expect.stringContaining(`\`${name}\``) });
  });

  it.each([undefined, null, 5])('missing options (%p)', (options) => {
    expect(thrownBy(() => inBatches(options as unknown as InBatchesOptions))).toMatchObject({ name: 'TypeError' });
  });
});
