import { concatMap, exhaustMap, map, mergeMap, type Observable, retry, tap, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Delivery, MemoryBackend, type MemoryBackendOptions } from 'sluice';
import { Holder } from '../support/consumers.js';
import { silentLogger } from '../support/recording-logger.js';

type Helpers = Parameters<Parameters<TestScheduler['run']>[0]>[0];

/** Runs a test in virtual time, with queues that use this time. */
function marbles(test: (helpers: Helpers & { create(options?: MemoryBackendOptions): MemoryBackend }) => void): void {
  const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  scheduler.run((helpers) => {
    test({ ...helpers, create: (options) => new MemoryBackend({ logger: silentLogger, ...options, scheduler }) });
  });
}

/** Publishes each letter as the key of a message and closes the queue at the end. */
function publishLetters(queue: MemoryBackend, letters$: Observable<string>): void {
  letters$.subscribe({ next: (letter) => void queue.publish(letter, {}), complete: () => void queue.close() });
}

const toKey = map(({ key }: Delivery) => key);
const acknowledge = tap((delivery: Delivery) => void delivery.ack());
const acknowledgeAfter = (frames: number) =>
  tap((delivery: Delivery) => void timer(frames).subscribe(() => void delivery.ack()));

/** Processes a delivery for some frames, acknowledges it and emits its key. */
const work = (frames: number) => (delivery: Delivery) =>
  timer(frames).pipe(
    tap(() => void delivery.ack()),
    map(() => delivery.key),
  );

describe('A pipeline over deliveries() in marbles', () => {
  it('receives each message in the frame of its publish, and the completion', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                              -a-b-(cd)-e-|'));
      expectObservable(queue.deliveries().pipe(acknowledge, toKey)).toBe('-a-b-(cd)-e-|');
    });
  });

  it('with a prefetch of 1 receives the next message in the frame of the ack', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                                                         (abcd)-------|'));
      expectObservable(queue.deliveries({ prefetch: 1 }).pipe(acknowledgeAfter(4), toKey)).toBe('a---b---c---d---|');
    });
  });

  it('is limited by its prefetch', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                                                         (abcde)--------|'));
      expectObservable(queue.deliveries({ prefetch: 2 }).pipe(acknowledgeAfter(5), toKey)).toBe('(ab)-(cd)-e----|');
    });
  });

  it('processes one message at a time with concatMap and completes after the last', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                                                -a-b-|'));
      expectObservable(queue.deliveries({ prefetch: 1 }).pipe(concatMap(work(3)))).toBe('----a--(b|)');
    });
  });

  it('processes as many messages at a time as mergeMap allows', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                                    (abcde)------------'));
      expectObservable(queue.deliveries().pipe(mergeMap(work(5), 2))).toBe('-----(ab)-(cd)-e');
    });
  });

  it('loses no message with an operator that ignores deliveries while busy', () => {
    marbles(({ create, hot, expectObservable, flush }) => {
      const queue = create();
      publishLetters(queue, hot('                                            abc--d---'));
      expectObservable(queue.deliveries().pipe(exhaustMap(work(4))), '^--------!').toBe('----a----');
      flush();
      expect(new Holder(queue).deliveries.map(({ key, attempt }) => key + attempt)).toEqual(['b2', 'c2', 'd2']);
    });
  });

  it('receives a message again after the delay of its nack', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('  -a-----b--------'));
      const settle = tap(
        (delivery: Delivery) => void (delivery.attempt < 3 ? delivery.nack({ delay: 4 }) : delivery.ack()),
      );
      const attempts$ = queue.deliveries().pipe(
        settle,
        map(({ key, attempt }) => key + attempt),
      );
      expectObservable(attempts$).toBe('-p---q-x-r-y---z', { p: 'a1', q: 'a2', r: 'a3', x: 'b1', y: 'b2', z: 'b3' });
    });
  });

  it.each(['nack', 'release'] as const)(
    'receives a message again in the same frame after a %s without delay',
    (settle) => {
      marbles(({ create, hot, expectObservable }) => {
        const queue = create();
        publishLetters(queue, hot('-a'));
        let left = 3;
        const threeTimes = tap((delivery: Delivery) => void (--left > 0 ? delivery[settle]() : delivery.ack()));
        expectObservable(queue.deliveries().pipe(threeTimes, toKey)).toBe('-(aaa)');
      });
    },
  );

  it('receives a delayed message in its frame', () => {
    marbles(({ create, expectObservable }) => {
      const queue = create();
      void queue.publish('a', {}, { delay: 5 });
      void queue.publish('b', {});
      void queue.publish('c', {}, { delay: 3 });
      void queue.close();
      expectObservable(queue.deliveries().pipe(acknowledge, toKey)).toBe('b--c-(a|)');
    });
  });

  it('receives the failed message again with retry', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('-a--b'));
      const fragile = map((delivery: Delivery) => {
        if (delivery.key === 'a' && delivery.attempt < 3) throw new Error('boom');
        void delivery.ack();
        return delivery.key;
      });
      expectObservable(queue.deliveries().pipe(fragile, retry({ delay: 3 }))).toBe('-------(ab)');
    });
  });

  it('shares the messages with another pipeline in turn', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                                              abcd'));
      expectObservable(queue.deliveries().pipe(acknowledge, toKey)).toBe('      a-c-');
      expectObservable(queue.deliveries().pipe(acknowledge, toKey)).toBe('      -b-d');
    });
  });

  it('leaves its messages to another pipeline when it is unsubscribed', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('                               abc-----'));
      expectObservable(queue.deliveries().pipe(toKey), '         ^----!  ').toBe('a-c');
      expectObservable(queue.deliveries().pipe(toKey), '         ^-------').toBe('-b---(ac)');
    });
  });

  it('takes no more messages after an abort and completes when all in flight are settled', () => {
    marbles(({ create, hot, expectObservable, flush }) => {
      const queue = create();
      const controller = new AbortController();
      publishLetters(queue, hot('a-b-c-d-'));
      timer(3).subscribe(() => controller.abort());
      const deliveries$ = queue.deliveries({ signal: controller.signal }).pipe(acknowledgeAfter(4), toKey);
      expectObservable(deliveries$).toBe('a-b---|');
      flush();
      expect(queue.size).toBe(2);
    });
  });

  it('admits a waiting publish in the frame in which capacity becomes free', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create({ capacity: 1 });
      publishLetters(queue, hot('                          (abcd)'));
      expectObservable(queue.published$.pipe(map(([key]) => key))).toBe('(ab)-c----d');
      expectObservable(queue.deliveries({ prefetch: 1 }).pipe(acknowledgeAfter(5), toKey)).toBe('a----b----c----d');
    });
  });

  it('shows its unsettled messages in unfinished$', () => {
    marbles(({ create, hot, expectObservable }) => {
      const queue = create();
      publishLetters(queue, hot('              -----a-b-c---'));
      expectObservable(queue.unfinished$.pipe(map(String))).toBe('0----1-2121-0');
      queue.deliveries().pipe(acknowledgeAfter(3)).subscribe();
    });
  });

  it('uses virtual time with the default scheduler, too', () => {
    marbles(({ expectObservable }) => {
      const queue = new MemoryBackend();
      void queue.publish('a', {}, { delay: 5 });
      void queue.publish('b', {}, { delay: 2 });
      expectObservable(queue.deliveries().pipe(acknowledge, toKey)).toBe('--b--a');
    });
  });
});
