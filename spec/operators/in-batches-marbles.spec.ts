import { concatMap, finalize, map, type Observable, of } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type AnyDelivery, type DeliveryBatch, type InBatchesOptions, inBatches, MemoryBackend } from 'sluice';
import { FakeDelivery } from '../support/handling.js';
import { silentLogger } from '../support/recording-logger.js';

type Helpers = Parameters<Parameters<TestScheduler['run']>[0]>[0];

const keysOf = ({ deliveries }: DeliveryBatch<AnyDelivery>) => deliveries.map(({ key }) => key);

/** Emits the keys of each batch, then acknowledges it. */
const batches = (deliveries$: Observable<AnyDelivery>, options: InBatchesOptions): Observable<string[]> =>
  deliveries$.pipe(
    inBatches({ logger: silentLogger, ...options }),
    concatMap((batch) => of(keysOf(batch)).pipe(finalize(() => void batch.ack()))),
  );

/** A delivery for each letter. The source ends with the letters, whatever is in flight. */
const deliveriesOf = (letters$: Observable<string>) =>
  letters$.pipe(map((key) => new FakeDelivery(1, undefined, { key })));

function publishTo(queue: MemoryBackend, letters$: Observable<string>): void {
  letters$.subscribe((letter) => void queue.publish(letter, {}));
}

function marbles(test: (helpers: Helpers) => void): void {
  new TestScheduler((actual, expected) => expect(actual).toEqual(expected)).run(test);
}

describe('inBatches in marbles', () => {
  it('emits a batch when it is full', () => {
    marbles(({ hot, expectObservable }) => {
      const deliveries$ = deliveriesOf(hot('                                    a-b-c-(def)---'));
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 20 })).toBe('----x-y-------', {
        x: ['a', 'b', 'c'],
        y: ['d', 'e', 'f'],
      });
    });
  });

  it('emits a batch when its first delivery has waited for maxWait', () => {
    marbles(({ hot, expectObservable }) => {
      const deliveries$ = deliveriesOf(hot('                                   a-b----c------'));
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 5 })).toBe('-----x------y-', {
        x: ['a', 'b'],
        y: ['c'],
      });
    });
  });

  it('emits the last batch when the source ends', () => {
    marbles(({ hot, expectObservable }) => {
      const deliveries$ = deliveriesOf(hot('                                    a-b-|'));
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 20 })).toBe('----(x|)', { x: ['a', 'b'] });
    });
  });

  it('emits a full batch, one that has waited, and the last one', () => {
    marbles(({ hot, expectObservable }) => {
      const deliveries$ = deliveriesOf(hot('                                   a-bc---d-e------f-|'));
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 5 })).toBe('---x--------y-----(z|)', {
        x: ['a', 'b', 'c'],
        y: ['d', 'e'],
        z: ['f'],
      });
    });
  });

  it('measures the time of each batch from its first delivery, also after a full one', () => {
    marbles(({ hot, expectObservable }) => {
      const deliveries$ = deliveriesOf(hot('                                   ab--c-d-----'));
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 5 })).toBe('----x------y', {
        x: ['a', 'b', 'c'],
        y: ['d'],
      });
    });
  });

  it('drops the unfinished batch of a source that fails', () => {
    marbles(({ hot, expectObservable }) => {
      const deliveries$ = deliveriesOf(hot('                                   abcd-#'));
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 5 })).toBe('--x--#', { x: ['a', 'b', 'c'] });
    });
  });

  it('waits for maxWait in each batch if the prefetch is smaller than maxSize', () => {
    marbles(({ hot, expectObservable, flush }) => {
      const queue = new MemoryBackend({ logger: silentLogger });
      publishTo(queue, hot('                                                   (abcd)-------'));
      const deliveries$ = queue.deliveries({ prefetch: 2 });
      expectObservable(batches(deliveries$, { maxSize: 3, maxWait: 5 })).toBe('-----x----y--', {
        x: ['a', 'b'],
        y: ['c', 'd'],
      });
      flush();
      expect(queue.unfinished).toBe(0);
    });
  });

  it('releases the deliveries of an unfinished batch when it is unsubscribed', () => {
    marbles(({ hot, expectObservable, flush }) => {
      const queue = new MemoryBackend({ logger: silentLogger });
      publishTo(queue, hot('abcd--'));
      const keys$ = batches(queue.deliveries({ prefetch: 9 }), { maxSize: 3, maxWait: 5 });
      expectObservable(keys$, '^----!').toBe('--x---', {
        x: ['a', 'b', 'c'],
      });
      flush();
      expect([queue.size, queue.inFlight]).toEqual([1, 0]);
    });
  });
});
