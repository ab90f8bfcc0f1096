import { map, Subject, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Delivery, filterDeliveries, handle, MemoryBackend, publishTo } from 'sluice';
import { Frames } from '../support/frames.js';
import { FakeDelivery } from '../support/handling.js';
import { silentLogger } from '../support/recording-logger.js';

describe('publishTo in marbles', () => {
  it('emits a value when a full queue has room for it', async () => {
    const { scheduler, hot, expectLoop, run } = new Frames();
    const queue = new MemoryBackend({ capacity: 1, scheduler, logger: silentLogger });
    const confirmed$ = hot('                                            abcd-----------|').pipe(
      publishTo(queue, (key) => [key, {}]),
    );
    expectLoop((show) => confirmed$.forEach(show)).toBe('               ab-c--d--------|');
    const work = ({ key }: Delivery) => timer(3, scheduler).pipe(map(() => key));
    const handled$ = queue.deliveries({ prefetch: 1 }).pipe(handle(work, { scheduler }));
    expectLoop((show) => handled$.forEach(show)).toBe('                 ---a--b--c--d---');
    await run();
  });
});

describe('filterDeliveries in marbles', () => {
  it('passes on what matches and acknowledges the rest in the same frame', () => {
    new TestScheduler((actual, expected) => expect(actual).toEqual(expected)).run(({ hot, expectObservable }) => {
      const acked$ = new Subject<number>();
      const deliveries$ = hot('                                          1-2-(34)-5-|').pipe(
        map((digit) => {
          const n = Number(digit);
          return new FakeDelivery(n, async () => {
            acked$.next(n);
            return true;
          });
        }),
      );
      expectObservable(acked$).toBe('                                    --2-4-------', { 2: 2, 4: 4 });
      const odd$ = deliveries$.pipe(filterDeliveries(({ payload }) => payload.n % 2 === 1));
      expectObservable(odd$.pipe(map(({ payload }) => payload.n))).toBe('1---3----5-|', { 1: 1, 3: 3, 5: 5 });
    });
  });
});
