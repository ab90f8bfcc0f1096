import { concat, NEVER, of, range, Subject, throwError } from 'rxjs';
import { type ToAsyncBatchesOptions, toAsyncBatches } from 'sluice';
import { drain, type FullIterator, full, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, thrownBy, turns } from '../support/promises.js';
import { listenersOf } from '../support/signals.js';

const DONE = { done: true, value: undefined };

/** An iterator whose first next() returned [0]. Later values find no waiting call. */
async function started(
  options?: ToAsyncBatchesOptions,
): Promise<{ source: Subject<number>; iterator: FullIterator<number[]> }> {
  const source = new Subject<number>();
  const iterator = full(toAsyncBatches(source, options));
  const first = iterator.next();
  source.next(0);
  await first;
  await turns(1);
  return { source, iterator };
}

describe('toAsyncBatches', () => {
  it('returns all values since the last batch', async () => {
    const { source, iterator } = await started();
    for (const n of upTo(3)) source.next(n);
    expect(await iterator.next()).toEqual({ done: false, value: [1, 2, 3] });
    await turns();
    source.next(4);
    await turns();
    source.next(5);
    expect(await iterator.next()).toEqual({ done: false, value: [4, 5] });
  });

  it('resolves a waiting next() to all values of the same turn', async () => {
    const { source, iterator } = await started();
    const pending = iterator.next();
    for (const n of upTo(3)) source.next(n);
    expect(await pending).toEqual({ done: false, value: [1, 2, 3] });
  });

  it('does not change a batch that its consumer has', async () => {
    const { source, iterator } = await started();
    const pending = iterator.next();
    source.next(1);
    const { value } = await pending;
    source.next(2);
    await turns();
    source.next(3);
    expect(value).toEqual([1]);
    expect(await pull(iterator, 1)).toEqual([[2, 3]]);
  });

  it('does not change a batch that was taken from the buffer', async () => {
    const { source, iterator } = await started();
    source.next(1);
    const taken = iterator.next();
    source.next(2);
    const { value } = await taken;
    expect([value, ...(await pull(iterator, 1))].flat()).toEqual([1, 2]);
  });

  it('never returns an empty batch', async () => {
    const { source, iterator } = await started();
    source.next(1);
    expect(await pull(iterator, 1)).toEqual([[1]]);
    const pending = iterator.next();
    expect(await stateOf(pending)).toBe('pending');
    source.complete();
    expect(await pending).toEqual(DONE);
  });

  it('returns each value exactly once, in order, at any pace', async () => {
    const source = new Subject<number>();
    const batches = drainSlowly(toAsyncBatches(source, { maxSize: 4 }));
    for (const n of upTo(200)) {
      source.next(n);
      if (n % 3 === 0) await Promise.resolve();
      if (n % 17 === 0) await turns(1);
    }
    source.complete();
    expect((await batches).flat()).toEqual(upTo(200));
    expect((await batches).every(({ length }) => length >= 1 && length <= 4)).toBe(true);
  });

  it('distributes the values of one turn among pending next() calls without a loss', async () => {
    const { source, iterator } = await started({ maxSize: 2 });
    const pending = [iterator.next(), iterator.next(), iterator.next()];
    for (const n of upTo(6)) source.next(n);
    const values = (await Promise.all(pending)).map((result) => result.value);
    expect(values).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
  });

  it('returns at most maxSize values at once, and the rest next', async () => {
    expect(await drain(toAsyncBatches(range(1, 7), { maxSize: 3 }))).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
  });

  it('returns a burst as one batch without maxSize', async () => {
    const batches = await drain(toAsyncBatches(range(1, 10_000)));
    expect(batches).toEqual([upTo(10_000)]);
  });

  it('returns the buffered values when the source completes', async () => {
    const { source, iterator } = await started();
    source.next(1);
    source.next(2);
    source.complete();
    expect(await drain(iterator)).toEqual([[1, 2]]);
  });

  it('returns the values before an error, then throws it once', async () => {
    const boom = new Error('boom');
    const iterator = toAsyncBatches(
      concat(
        of(1, 2, 3),
        throwError(() => boom),
      ),
      { maxSize: 2 },
    );
    expect(await pull(iterator, 2)).toEqual([[1, 2], [3]]);
    expect(await rejectionOf(iterator.next())).toBe(boom);
    expect(await iterator.next()).toEqual(DONE);
  });

  it('drops buffered values when its signal aborts', async () => {
    const controller = new AbortController();
    const { source, iterator } = await started({ signal: controller.signal });
    source.next(1);
    controller.abort();
    expect(source.observed).toBe(false);
    expect(listenersOf(controller.signal)).toBe(0);
    expect(await iterator.next()).toEqual(DONE);
  });

  it.each<[string, 'TypeError' | 'RangeError', Record<string, unknown>]>([
    ['maxSize', 'RangeError', { maxSize: 0 }],
    ['maxSize', 'RangeError', { maxSize: 2.5 }],
    ['maxSize', 'RangeError', { maxSize: Number.NaN }],
    ['maxSize', 'TypeError', { maxSize: '5' }],
    ['maxSize', 'TypeError', { maxSize: null }],
    ['signal', 'TypeError', { signal: 'stop' }],
  ])('throws for an invalid %s with a %s that names it', (name, errorName, options) => {
    const error = thrownBy(() => toAsyncBatches(NEVER, options as ToAsyncBatchesOptions));
    expect(error).toMatchObject({ name: errorName, message: expect.stringContaining(name) });
  });
});

async function drainSlowly<Value>(iterable: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const value of iterable) {
    values.push(value);
    await turns(1);
  }
  return values;
}
