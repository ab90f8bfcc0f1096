import { from, NEVER, type Observable } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  type AnyDelivery,
  type Delivery,
  type FilterDeliveriesOptions,
  filterDeliveries,
  handle,
  MemoryBackend,
} from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { FakeDelivery, type Method } from '../support/handling.js';
import { thrownBy, turns, until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

const isOdd = ({ payload }: AnyDelivery) => numberOf(payload) % 2 === 1;

function watch(source: Observable<AnyDelivery>) {
  const seen = { numbers: [] as number[], attempts: [] as number[], completed: false, error: undefined as unknown };
  const subscription = source.subscribe({
    next: ({ payload, attempt }) => {
      seen.numbers.push(numberOf(payload));
      seen.attempts.push(attempt);
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

describe('filterDeliveries', () => {
  it('passes matching deliveries unsettled and acknowledges the others', () => {
    const queue = new MemoryBackend();
    const { numbers } = watch(queue.deliveries().pipe(filterDeliveries(isOdd)));
    void publishAll(queue, upTo(5));
    expect(numbers).toEqual([1, 3, 5]);
    expect([queue.size, queue.inFlight]).toEqual([0, 3]);
  });

  it('continues after any number of deliveries that do not match', () => {
    const queue = new MemoryBackend();
    const { numbers } = watch(
      queue.deliveries({ prefetch: 10 }).pipe(filterDeliveries(({ payload }) => numberOf(payload) === 100)),
    );
    void publishAll(queue, upTo(100));
    expect(numbers).toEqual([100]);
    expect(queue.unfinished).toBe(1);
  });

  it.each<[FilterDeliveriesOptions | undefined, Method[]]>([
    [undefined, ['ack']],
    [{}, ['ack']],
    [{ otherwise: undefined }, ['ack']],
    [{ otherwise: 'ack' }, ['ack']],
    [{ otherwise: 'release' }, ['release']],
    [{ otherwise: 'reject' }, ['reject']],
  ])('with %j settles a dropped delivery once, with %p', (options, calls) => {
    const [kept, dropped] = [new FakeDelivery(1), new FakeDelivery(2)];
    watch(from([kept, dropped]).pipe(filterDeliveries(isOdd, options)));
    expect([kept.calls, dropped.calls]).toEqual([[], calls]);
  });

  it("with 'release' leaves a message to another consumer and does not redeliver it in a loop", async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const filtered = watch(queue.deliveries().pipe(filterDeliveries(isOdd, { otherwise: 'release' })));
    await Promise.all(publishAll(queue, [1, 2]));
    await turns();
    const other = watch(queue.deliveries());
    await until(() => other.numbers.length === 1);
    expect([filtered.numbers, other.numbers, other.attempts]).toEqual([[1], [2], [1]]);
  });

  it('does not settle a delivery that the predicate has settled', () => {
    const delivery = new FakeDelivery(2);
    const settle = (dropped: AnyDelivery) => {
      void dropped.reject();
      return false;
    };
    watch(from([delivery]).pipe(filterDeliveries(settle)));
    expect(delivery.calls).toEqual(['reject']);
  });

  it('passes the index to the predicate, starting at 0', () => {
    const { numbers } = watch(
      from(upTo(4).map((n) => new FakeDelivery(n))).pipe(filterDeliveries((_delivery, index) => index > 1)),
    );
    expect(numbers).toEqual([3, 4]);
  });

  it('completes with its source', () => {
    const queue = new MemoryBackend();
    const seen = watch(queue.deliveries().pipe(filterDeliveries(isOdd)));
    void queue.close();
    expect(seen.completed).toBe(true);
  });

  it('fails with the error of the predicate and requeues all deliveries', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const problem = new Error('no such field');
    const predicate = (delivery: AnyDelivery) => {
      if (numberOf(delivery.payload) === 3) throw problem;
      return isOdd(delivery);
    };
    const seen = watch(queue.deliveries().pipe(filterDeliveries(predicate)));
    void publishAll(queue, upTo(4));
    expect([seen.numbers, seen.error, queue.size, queue.inFlight]).toEqual([[1], problem, 3, 0]);
    expect(watch(queue.deliveries()).attempts).toEqual([2, 2, 1]);
  });

  it('requeues passed deliveries when its subscriber unsubscribes', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const { subscription } = watch(queue.deliveries().pipe(filterDeliveries(isOdd)));
    void publishAll(queue, upTo(2));
    subscription.unsubscribe();
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it.each<[string, () => Promise<boolean>]>([
    ['rejects', () => Promise.reject(new Error('The connection is lost'))],
    [
      'throws',
      () => {
        throw new Error('The connection is lost');
      },
    ],
  ])('continues after a settlement that %s', async (_how, answer) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on('unhandledRejection', note);
    const { numbers, error } = watch(
      from([new FakeDelivery(2, answer), new FakeDelivery(3)]).pipe(filterDeliveries(isOdd)),
    );
    await turns();
    process.off('unhandledRejection', note);
    expect([numbers, error, unhandled]).toEqual([[3], undefined, []]);
  });

  it('uses virtual time', () => {
    new TestScheduler((actual, expected) => expect(actual).toEqual(expected)).run(({ expectObservable, cold }) => {
      const queue = new MemoryBackend();
      cold('a-b-c|', { a: 1, b: 2, c: 3 }).subscribe({
        next: (n) => void publishAll(queue, [n]),
        complete: () => void queue.close(),
      });
      const numbers = queue.deliveries().pipe(
        filterDeliveries(isOdd),
        handle(({ payload }) => numberOf(payload)),
      );
      expectObservable(numbers).toBe('a---c|', { a: 1, c: 3 });
    });
  });

  it.each<[string, () => unknown, new () => Error]>([
    ['predicate', () => filterDeliveries(undefined as never), TypeError],
    ['options', () => filterDeliveries(isOdd, 'ack' as never), TypeError],
    ['otherwise', () => filterDeliveries(isOdd, { otherwise: true as never }), TypeError],
    ['otherwise', () => filterDeliveries(isOdd, { otherwise: 'nack' as never }), RangeError],
  ])('names an invalid `%s` in the error', (name, make, Wrong) => {
    const error = thrownBy(make) as Error;
    expect(error).toBeInstanceOf(Wrong);
    expect(error.message).toContain(`\`${name}\``);
  });
});

describe('The result of filterDeliveries', () => {
  it('is a stream with a prefetch', () => {
    const logger = recordingLogger();
    const filtered = new MemoryBackend().deliveries({ prefetch: 2 }).pipe(filterDeliveries(isOdd));
    filtered.pipe(handle(() => {}, { concurrency: 4, logger })).subscribe();
    expect(logger.warnings).toEqual([expect.stringContaining('`prefetch` of 2 is less than the `concurrency` of 4')]);
  });

  it('takes no message while a message past its retries runs alone', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    void publishAll(queue, [1]);
    for (const _ of upTo(2)) queue.deliveries().subscribe().unsubscribe();
    void publishAll(queue, [3, 5]);
    const running: number[] = [];
    const started: Delivery[] = [];
    queue
      .deliveries()
      .pipe(
        filterDeliveries(isOdd),
        handle(
          (delivery) => {
            started.push(delivery);
            running.push(numberOf(delivery.payload));
            return NEVER;
          },
          { concurrency: 4, retry: { count: 1 }, deliveryLimit: 10, logger: silentLogger },
        ),
      )
      .subscribe();
    await turns();
    expect(running).toEqual([1]);
    expect([queue.size, queue.inFlight]).toEqual([2, 1]);
  });

  it('has no prefetch if the source has none', () => {
    expect('prefetch' in from([new FakeDelivery(1)]).pipe(filterDeliveries(isOdd))).toBe(false);
  });
});
