import { concat, defer, from, NEVER, Observable, of, range, Subject, throwError } from 'rxjs';
import { QueueOverflowError, type ToAsyncIterableOptions, toAsyncIterable } from 'sluice';
import { drain, type FullIterator, full, pull, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf, thrownBy, turns } from '../support/promises.js';

const DONE = { done: true, value: undefined };

/** An iterator whose first next() returned 0. Later values find no waiting call. */
async function started(
  options?: ToAsyncIterableOptions,
): Promise<{ source: Subject<number>; iterator: FullIterator<number> }> {
  const source = new Subject<number>();
  const iterator = full(toAsyncIterable(source, options));
  const first = iterator.next();
  source.next(0);
  await first;
  return { source, iterator };
}

describe('toAsyncIterable', () => {
  it('returns every value in order', async () => {
    expect(await drain(toAsyncIterable(range(1, 1000)))).toEqual(upTo(1000));
  });

  it('loses no value while the loop body is busy', async () => {
    const source = new Subject<number>();
    const seen: number[] = [];
    const loop = (async () => {
      for await (const value of toAsyncIterable(source)) {
        seen.push(value);
        await turns(2);
      }
    })();
    for (const n of upTo(50)) {
      source.next(n);
      if (n % 7 === 0) await turns(1);
    }
    source.complete();
    await loop;
    expect(seen).toEqual(upTo(50));
  });

  it('returns undefined and null as values', async () => {
    expect(await drain(toAsyncIterable(of(undefined, null, 0, '')))).toEqual([undefined, null, 0, '']);
  });

  it.each<[string, () => Parameters<typeof toAsyncIterable<number>>[0]]>([
    ['an array', () => [1, 2, 3]],
    ['an iterable', () => new Set([1, 2, 3])],
    [
      'an async iterable',
      () =>
        (async function* () {
          yield* [1, 2, 3];
        })(),
    ],
    ['an Observable', () => from([1, 2, 3])],
  ])('accepts %s', async (_, source) => {
    expect(await drain(toAsyncIterable(source()))).toEqual([1, 2, 3]);
  });

  it('accepts a promise', async () => {
    expect(await drain(toAsyncIterable(Promise.resolve('value')))).toEqual(['value']);
  });

  it('subscribes once for any number of next() calls', async () => {
    let subscriptions = 0;
    const iterator = toAsyncIterable(
      defer(() => {
        subscriptions++;
        return NEVER;
      }),
    );
    expect(subscriptions).toBe(0);
    void iterator.next();
    void iterator.next();
    expect(subscriptions).toBe(1);
    await iterator.return?.();
    await iterator.next();
    expect(subscriptions).toBe(1);
  });

  it('unsubscribes once and immediately on return() while a next() is pending', () => {
    let teardowns = 0;
    const iterator = toAsyncIterable(new Observable(() => () => teardowns++));
    void iterator.next();
    expect(teardowns).toBe(0);
    void iterator.return?.();
    void iterator.return?.();
    expect(teardowns).toBe(1);
  });

  it('runs the teardown of a source that completed by itself', async () => {
    let teardowns = 0;
    const source = new Observable<number>((subscriber) => {
      subscriber.next(1);
      subscriber.complete();
      return () => teardowns++;
    });
    expect(await drain(toAsyncIterable(source))).toEqual([1]);
    expect(teardowns).toBe(1);
  });

  it('drops buffered values when the loop ends early', async () => {
    const { source, iterator } = await started();
    for (const n of upTo(3)) source.next(n);
    await iterator.return();
    expect(source.observed).toBe(false);
    expect(await iterator.next()).toEqual(DONE);
  });

  it('drops buffered values when its signal aborts', async () => {
    const controller = new AbortController();
    const { source, iterator } = await started({ signal: controller.signal });
    for (const n of upTo(3)) source.next(n);
    controller.abort();
    expect(source.observed).toBe(false);
    expect(await iterator.next()).toEqual(DONE);
  });

  it('ignores an abort after the source has completed and the loop has ended', async () => {
    const controller = new AbortController();
    expect(await drain(toAsyncIterable(of(1, 2), { signal: controller.signal }))).toEqual([1, 2]);
    controller.abort();
    await turns();
  });

  it('returns the values before an error, throws the error, then is done', async () => {
    const boom = new Error('boom');
    const iterator = toAsyncIterable(
      concat(
        of(1, 2),
        throwError(() => boom),
      ),
    );
    expect(await pull(iterator, 2)).toEqual([1, 2]);
    expect(await rejectionOf(iterator.next())).toBe(boom);
    expect(await iterator.next()).toEqual(DONE);
  });

  it('rejects one next() when subscribing throws', async () => {
    const boom = new Error('boom');
    const iterator = toAsyncIterable(
      new Observable(() => {
        throw boom;
      }),
    );
    const outcomes = await Promise.all([iterator.next(), iterator.next()].map(outcomeOf));
    expect(outcomes).toEqual([
      { state: 'rejected', reason: boom },
      { state: 'fulfilled', value: DONE },
    ]);
  });

  it('passes on an error that is undefined', async () => {
    const iterator = toAsyncIterable(throwError(() => undefined));
    expect(await outcomeOf(iterator.next())).toEqual({ state: 'rejected', reason: undefined });
    expect(await iterator.next()).toEqual(DONE);
  });

  it('resolves a next() that is called within subscribe', async () => {
    let inner: Promise<IteratorResult<number>> | undefined;
    const iterator: AsyncIterator<number> = toAsyncIterable(
      new Observable<number>((subscriber) => {
        inner ??= iterator.next();
        subscriber.next(1);
        subscriber.next(2);
        subscriber.complete();
      }),
    );
    const outer = iterator.next();
    const values = await Promise.all([outer, inner]);
    expect(new Set(values.map((result) => result?.value))).toEqual(new Set([1, 2]));
    expect(await iterator.next()).toEqual(DONE);
  });

  it('supports a return() while the source emits', async () => {
    const after: boolean[] = [];
    const iterator = full(
      toAsyncIterable(
        new Observable<number>((subscriber) => {
          subscriber.next(1);
          void iterator.return();
          after.push(subscriber.closed);
          subscriber.next(2);
        }),
      ),
    );
    await iterator.next();
    expect(after).toEqual([true]);
    expect(await iterator.next()).toEqual(DONE);
  });
});

describe('toAsyncIterable with a bounded buffer', () => {
  it("ends with a QueueOverflowError after the buffered values with 'error'", async () => {
    const { source, iterator } = await started({ overflow: 'error', capacity: 2 });
    for (const n of upTo(4)) source.next(n);
    expect(source.observed).toBe(false);
    expect(await pull(iterator, 2)).toEqual([1, 2]);
    const error = await rejectionOf(iterator.next());
    expect(QueueOverflowError.is(error)).toBe(true);
    expect(await iterator.next()).toEqual(DONE);
  });

  it("accepts as many values as the capacity with 'error'", async () => {
    const { source, iterator } = await started({ overflow: 'error', capacity: 2 });
    source.next(1);
    source.next(2);
    expect(await pull(iterator, 1)).toEqual([1]);
    source.next(3);
    source.complete();
    expect(await drain(iterator)).toEqual([2, 3]);
  });

  it("unsubscribes from an endless synchronous source that overflows with 'error'", async () => {
    const iterator = toAsyncIterable(range(1, Number.POSITIVE_INFINITY), { overflow: 'error', capacity: 5 });
    const error = await rejectionOf(drain(iterator));
    expect(QueueOverflowError.is(error)).toBe(true);
  });

  it.each<[ToAsyncIterableOptions['overflow'], number[]]>([
    ['drop-oldest', [3, 4]],
    ['drop-newest', [1, 2]],
  ])("stays within its capacity with '%s'", async (overflow, kept) => {
    const { source, iterator } = await started({ overflow, capacity: 2 });
    for (const n of upTo(4)) source.next(n);
    source.complete();
    expect(await drain(iterator)).toEqual(kept);
  });

  it.each<[ToAsyncIterableOptions['overflow'], string, number]>([
    ['drop-oldest', 'latest', 5],
    ['drop-newest', 'first', 1],
  ])("with capacity 1 and '%s' returns the %s value", async (overflow, _, kept) => {
    const { source, iterator } = await started({ overflow, capacity: 1 });
    for (const n of upTo(5)) source.next(n);
    expect(await pull(iterator, 1)).toEqual([kept]);
    const pending = iterator.next();
    source.next(6);
    expect(await pending).toEqual({ done: false, value: 6 });
  });

  it('counts only buffered values', async () => {
    const { source, iterator } = await started({ overflow: 'error', capacity: 1 });
    const waiting = [iterator.next(), iterator.next()];
    for (const n of upTo(3)) source.next(n);
    source.complete();
    expect((await Promise.all(waiting)).map(({ value }) => value)).toEqual([1, 2]);
    expect(await drain(iterator)).toEqual([3]);
  });

  it("keeps all values with 'buffer'", async () => {
    const { source, iterator } = await started({ overflow: 'buffer' });
    for (const n of upTo(20_000)) source.next(n);
    source.complete();
    expect(await drain(iterator)).toEqual(upTo(20_000));
  });
});

describe('toAsyncIterable with invalid options', () => {
  it.each<[string, 'TypeError' | 'RangeError', Record<string, unknown>]>([
    ['overflow', 'RangeError', { overflow: 'drop' }],
    ['overflow', 'TypeError', { overflow: 1, capacity: 1 }],
    ['overflow', 'TypeError', { overflow: null }],
    ['capacity', 'RangeError', { overflow: 'error', capacity: 0 }],
    ['capacity', 'RangeError', { overflow: 'drop-oldest', capacity: -1 }],
    ['capacity', 'RangeError', { overflow: 'drop-newest', capacity: 1.5 }],
    ['capacity', 'RangeError', { overflow: 'error', capacity: Number.NaN }],
    ['capacity', 'TypeError', { overflow: 'error', capacity: '5' }],
    ['capacity', 'TypeError', { overflow: 'error', capacity: null }],
    ['capacity', 'TypeError', { overflow: 'error' }],
    ['signal', 'TypeError', { signal: {} }],
    ['signal', 'TypeError', { signal: null }],
  ])('throws for an invalid %s with a %s that names it', (name, errorName, options) => {
    const error = thrownBy(() => toAsyncIterable(NEVER, options as ToAsyncIterableOptions));
    expect(error).toMatchObject({ name: errorName, message: expect.stringContaining(name) });
  });
});
