import { concatMap, EMPTY, map, NEVER, type Observable, of, Subject, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  type Delivery,
  type HandleOptions,
  handle,
  MemoryBackend,
  type MemoryBackendOptions,
  type Outcome,
} from 'sluice';
import { numberOf } from '../support/consumers.js';
import { silentLogger } from '../support/recording-logger.js';

type Helpers = Parameters<Parameters<TestScheduler['run']>[0]>[0];

interface Kit extends Helpers {
  create(options?: MemoryBackendOptions): MemoryBackend;
  /** Publishes each letter as the key of a message and closes the queue at the end. */
  publish(queue: MemoryBackend, letters$: Observable<string>): void;
}

const MODES: [string, (test: (kit: Kit) => void) => void][] = [
  ['in run mode with the default scheduler', (test) => runMarbles(undefined, test)],
  ['in run mode with the scheduler of the test', (test) => runMarbles('given', test)],
  ['in run mode after long synchronous work', (test) => runMarbles(undefined, test, busy)],
];

function runMarbles(given: 'given' | undefined, test: (kit: Kit) => void, before = (): void => {}): void {
  const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  before();
  scheduler.run((helpers) => {
    const create = (options?: MemoryBackendOptions) =>
      new MemoryBackend({ logger: silentLogger, ...options, ...(given && { scheduler }) });
    const publish: Kit['publish'] = (queue, letters$) =>
      void letters$.subscribe({ next: (letter) => void queue.publish(letter, {}), complete: () => void queue.close() });
    test({ ...helpers, create, publish });
  });
}

/** Blocks the macrotask with promises of a queue until these wait for the next macrotask. */
function busy(): void {
  const queue = new MemoryBackend({ logger: silentLogger });
  const subscription = queue
    .deliveries()
    .pipe(handle(() => EMPTY))
    .subscribe();
  const start = performance.now();
  while (performance.now() - start < 20) void queue.publish('key', {});
  subscription.unsubscribe();
  queue.clear();
}

const quiet: HandleOptions = { logger: silentLogger };
const keyAfter = (frames: number) => (delivery: Delivery) => timer(frames).pipe(map(() => delivery.key));

describe.each(MODES)('handle in marbles %s', (_, marbles) => {
  it('emits the values of Observables one after the other', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('                                                  (abc)------|'));
      expectObservable(queue.deliveries().pipe(handle(keyAfter(3)))).toBe('---a--b--c-|');
    });
  });

  it('runs as many handlers at a time as the concurrency', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(
        queue,
        hot('                                                                     (abcde)--------------|'),
      );
      expectObservable(queue.deliveries().pipe(handle(keyAfter(5), { concurrency: 2 }))).toBe('-----(ab)-(cd)-e-----|');
    });
  });

  it('emits a returned value in the frame of the message', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('                                                          -a-b-(cd)-|'));
      expectObservable(queue.deliveries().pipe(handle(({ key }) => key))).toBe('   -a-b-(cd)-|');
    });
  });

  it('runs all synchronous Observables of one frame', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('                                                          -(abcdef)-|'));
      expectObservable(queue.deliveries().pipe(handle(({ key }) => of(key)))).toBe('-(abcdef)-|');
    });
  });

  it('retries after the delay', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('                         -a---b---------------|'));
      const fragile = ({ key, attempt }: Delivery) => {
        if (key === 'a' && attempt < 3) throw new Error('boom');
        return `${key}${attempt}`;
      };
      const delay = (__: unknown, retryCount: number) => retryCount * 4;
      const handled$ = queue.deliveries().pipe(handle(fragile, { ...quiet, retry: { delay } }));
      expectObservable(handled$).toBe('            -----b-------a-------|', { a: 'a3', b: 'b1' });
    });
  });

  it('retries in place and delays only its own key', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('             a-b-a-b-----a-----|'));
      let left = 1;
      const fragile = ({ key }: Delivery) => {
        if (key === 'a' && left-- > 0) throw new Error('boom');
        return key;
      };
      const handled$ = queue.deliveries().pipe(handle(fragile, { ...quiet, orderBy: 'key', retry: { delay: 8 } }));
      expectObservable(handled$).toBe('--b---b-(aa)a-----|');
    });
  });

  it('ends a handler after its timeout', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('                abc------------|'));
      const outcomes$ = new Subject<string>();
      const slow = ({ key }: Delivery) => (key === 'b' ? timer(2).pipe(map(() => key)) : NEVER);
      const onOutcome = ({ delivery: { key } }: Outcome) => outcomes$.next(key);
      const handled$ = queue.deliveries().pipe(handle(slow, { ...quiet, timeout: 5, retry: { count: 0 }, onOutcome }));
      expectObservable(outcomes$).toBe('  -----a-b----c---');
      expectObservable(handled$).toBe('   -------b-------|');
    });
  });

  it('publishes a failed message to the dead letter queue in the same frame', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const [queue, deadLetter] = [create(), create()];
      publish(queue, hot('                                               a--b--------|'));
      const fail = () => {
        throw new Error('boom');
      };
      const handled$ = queue.deliveries().pipe(handle(fail, { ...quiet, deadLetter, retry: { count: 2, delay: 2 } }));
      expectObservable(handled$).toBe('                                 ------------|');
      const letters$ = deadLetter.deliveries().pipe(concatMap((letter) => of(letter.key)));
      expectObservable(letters$).toBe('                                 ----a--b-----');
    });
  });

  it('retries a dead letter after its delay', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('a|'));
      let left = 2;
      const letters$ = new Subject<string>();
      const deadLetter = ({ key }: Delivery) => {
        letters$.next(key);
        if (left-- > 0) throw new Error('gone');
      };
      const fail = () => {
        throw new Error('boom');
      };
      queue
        .deliveries()
        .pipe(handle(fail, { ...quiet, deadLetter, retry: { count: 0, delay: 0 } }))
        .subscribe();
      expectObservable(letters$).toBe('a 999ms a 999ms a');
    });
  });

  it('starts no handler after an abort and completes with the last running one', () => {
    marbles(({ create, publish, hot, expectObservable, flush }) => {
      const queue = create();
      const controller = new AbortController();
      publish(queue, hot('a-b-c-d-e-'));
      timer(3).subscribe(() => controller.abort());
      const handled$ = queue.deliveries().pipe(handle(keyAfter(5), { concurrency: 2, signal: controller.signal }));
      expectObservable(handled$).toBe('-----a-(b|)');
      flush();
      expect([queue.size, queue.inFlight]).toEqual([3, 0]);
    });
  });

  it('requeues the running message when it is unsubscribed', () => {
    marbles(({ create, publish, hot, expectObservable, flush }) => {
      const queue = create();
      publish(queue, hot('abc'));
      expectObservable(queue.deliveries().pipe(handle(keyAfter(3))), '^---!').toBe('---a-');
      flush();
      expect([queue.size, queue.inFlight]).toEqual([2, 0]);
    });
  });

  it('reports the duration of handlers', () => {
    marbles(({ create, publish, hot, expectObservable }) => {
      const queue = create();
      publish(queue, hot('ab'));
      const durations$ = new Subject<string>();
      queue
        .deliveries()
        .pipe(handle(keyAfter(4), { onOutcome: ({ duration }) => durations$.next(String(duration)) }))
        .subscribe();
      expectObservable(durations$).toBe('----4---4');
    });
  });

  it('handles ten thousand messages in one frame', () => {
    marbles(({ create, flush, expectObservable }) => {
      const queue = create();
      for (let n = 0; n < 10_000; n++) void queue.publish('a', { n });
      void queue.close();
      const last$ = queue.deliveries().pipe(
        handle(({ payload }) => of(numberOf(payload))),
        concatMap((n) => (n === 9_999 ? of('z') : EMPTY)),
      );
      expectObservable(last$).toBe('(z|)');
      flush();
    });
  });
});

describe('handle with a given TestScheduler, without run mode', () => {
  it('uses the time of the scheduler', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    const queue = new MemoryBackend({ scheduler, logger: silentLogger });
    scheduler.createHotObservable('-a----b-').subscribe((letter) => void queue.publish(letter, {}));
    busy();
    const work = ({ key, attempt }: Delivery) => (attempt === 1 ? NEVER : of(key));
    const handled$ = queue
      .deliveries()
      .pipe(handle(work, { ...quiet, scheduler, timeout: 20, retry: { delay: 10 }, concurrency: 2 }));
    scheduler.expectObservable(handled$).toBe('----a----b');
    scheduler.flush();
    expect(queue.unfinished).toBe(0);
  });
});
