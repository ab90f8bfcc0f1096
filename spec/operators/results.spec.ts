import { concat, firstValueFrom, from, NEVER, type Observable, of, Subject, throwError, timer } from 'rxjs';
import { handle, MemoryBackend } from 'sluice';
import { numberOf, upTo } from '../support/consumers.js';
import { deferred, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

async function* generate<Value>(...values: Value[]): AsyncGenerator<Value> {
  for (const value of values) {
    await null;
    yield value;
  }
}

const ARRAY = [1, 2];
const OBJECT = { a: 1 };
const OBSERVABLE = of(1, 2);
const ITERABLE = { [Symbol.iterator]: () => [1, 2][Symbol.iterator]() };
const thenable = (value: unknown): PromiseLike<unknown> => ({
  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested.
  then: (onDone, onError) => Promise.resolve(value).then(onDone, onError),
});

describe('The return value of a handler of handle', () => {
  it.each<[string, () => unknown, unknown[]]>([
    ['nothing', () => {}, []],
    ['undefined', () => undefined, []],
    ['null', () => null, [null]],
    ['a number', () => 0, [0]],
    ['NaN', () => Number.NaN, [Number.NaN]],
    ['false', () => false, [false]],
    ['the empty string', () => '', ['']],
    ['a string, as it is', () => 'text', ['text']],
    ['an array, as it is', () => ARRAY, [ARRAY]],
    ['an iterable, as it is', () => ITERABLE, [ITERABLE]],
    ['an object', () => OBJECT, [OBJECT]],
    ['a function', () => turns, [turns]],
    ['an Observable that emits at once', () => of(1, 2), [1, 2]],
    ['an empty Observable', () => of(), []],
    ['an Observable of undefined', () => of(undefined, null), [undefined, null]],
  ])('is emitted synchronously and the delivery acknowledged if it is %s', (_, handler, values) => {
    const processing = new Processing(handler);
    processing.publish([1]);
    expect(processing.values).toEqual(values);
    expect(processing.statuses).toEqual(['1#1 acked']);
    expect(processing.queue.unfinished).toBe(0);
  });

  it.each<[string, () => unknown, unknown[]]>([
    ['a promise of nothing', async () => {}, []],
    ['a promise of null', async () => null, [null]],
    ['a promise of a value', async () => 'done', ['done']],
    ['a promise of an array, as it is', async () => ARRAY, [ARRAY]],
    ['a promise of an Observable, as it is', async () => OBSERVABLE, [OBSERVABLE]],
    ['a promise that takes a while', () => turns().then(() => 1), [1]],
    ['a thenable', () => thenable(5), [5]],
    ['a thenable of nothing', () => thenable(undefined), []],
    ['an async generator', () => generate(1, undefined, 2), [1, undefined, 2]],
    ['an async generator without a value', () => generate(), []],
    ['an Observable that emits later', () => from(turns().then(() => 'later')), ['later']],
    [
      'an async iterable that is no generator',
      () => ({ [Symbol.asyncIterator]: () => generate('x', 'y') }),
      ['x', 'y'],
    ],
  ])('is emitted and the delivery acknowledged if it is %s', async (_, handler, values) => {
    const processing = new Processing(handler);
    processing.publish([1]);
    await turns(6);
    expect(processing.values).toEqual(values);
    expect(processing.statuses).toEqual(['1#1 acked']);
    expect(processing.queue.unfinished).toBe(0);
  });

  it('is computed for each delivery with its context', () => {
    const seen: unknown[] = [];
    const processing = new Processing((delivery, context) => {
      seen.push([
        delivery.id.length > 0,
        delivery.key,
        delivery.payload,
        delivery.attempt,
        context.signal.aborted,
        context.signal instanceof AbortSignal,
      ]);
    });
    processing.publish([1, 2]);
    expect(seen).toEqual([
      [true, 'number', { n: 1 }, 1, false, true],
      [true, 'number', { n: 2 }, 1, false, true],
    ]);
  });

  it('is emitted in the order in which the handlers end', async () => {
    const jobs = upTo(3).map(() => deferred<string>());
    const processing = new Processing(({ payload }) => jobs[numberOf(payload) - 1]?.promise, { concurrency: 3 });
    processing.publish(upTo(3));
    jobs[1]?.resolve('second');
    await turns();
    jobs[2]?.resolve('third');
    await turns();
    jobs[0]?.resolve('first');
    await turns();
    expect(processing.values).toEqual(['second', 'third', 'first']);
  });
});

describe('The result of a handler of handle', () => {
  it.each<[string, () => unknown]>([
    ['a value', () => 'done'],
    ['a promise', async () => 'done'],
    ['a thenable', () => thenable('done')],
  ])('follows the ack, so that firstValueFrom leaves nothing unfinished, if it is %s', async (_, handler) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    await queue.publish('number', { n: 1 });
    expect(await firstValueFrom(queue.deliveries().pipe(handle(handler)))).toBe('done');
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 0, 0]);
  });

  it.each<[string, () => unknown]>([
    ['a value', () => 'done'],
    ['a promise', async () => 'done'],
  ])('follows the outcome if it is %s', async (_, handler) => {
    const order: unknown[] = [];
    const queue = new MemoryBackend({ logger: silentLogger });
    queue
      .deliveries()
      .pipe(
        handle(handler, {
          onOutcome: ({ status, delivery }) => order.push(status, delivery.settled, queue.unfinished),
        }),
      )
      .subscribe((value) => order.push(value));
    await queue.publish('number', { n: 1 });
    await turns();
    expect(order).toEqual(['acked', 'acked', 0, 'done']);
  });

  it('precedes the ack for each value of an Observable', () => {
    const results = new Subject<string>();
    const processing = new Processing(() => results);
    processing.publish([1]);
    results.next('a');
    expect([processing.values, processing.queue.inFlight]).toEqual([['a'], 1]);
    results.next('b');
    expect([processing.values, processing.queue.inFlight]).toEqual([['a', 'b'], 1]);
    results.complete();
    expect(processing.queue.unfinished).toBe(0);
    expect(processing.statuses).toEqual(['1#1 acked']);
  });

  it('precedes the ack for each value of an async iterable', async () => {
    const gate = deferred();
    const processing = new Processing(async function* () {
      yield 'a';
      await gate.promise;
      yield 'b';
    });
    processing.publish([1]);
    await turns();
    expect([processing.values, processing.queue.inFlight]).toEqual([['a'], 1]);
    gate.resolve();
    await turns();
    expect([processing.values, processing.queue.unfinished]).toEqual([['a', 'b'], 0]);
  });

  it('of a failing Observable includes its earlier values, and the message is retried', () => {
    let left = 1;
    const handler = (): Observable<string> =>
      concat(of('a'), left-- > 0 ? throwError(() => new Error('boom')) : of('b'));
    const processing = new Processing(handler, { retry: { delay: 5 } });
    processing.publish([1]);
    expect(processing.values).toEqual(['a']);
    processing.clock.advance(5);
    expect(processing.values).toEqual(['a', 'a', 'b']);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 acked']);
  });

  it('of an Observable is emitted in virtual time', () => {
    const processing: Processing = new Processing(() => timer(5, processing.clock.scheduler));
    processing.publish([1]);
    processing.clock.advance(4);
    expect([processing.values, processing.queue.inFlight]).toEqual([[], 1]);
    processing.clock.advance(1);
    expect([processing.values, processing.queue.unfinished]).toEqual([[0], 0]);
  });

  it('is awaited without an end if there is none', async () => {
    const processing = new Processing(() => NEVER);
    processing.publish([1, 2]);
    await processing.pass(1_000_000_000);
    expect([processing.values, processing.outcomes, processing.queue.inFlight]).toEqual([[], [], 2]);
    expect(processing.clock.timers).toBe(0);
  });

  it('of an async iterable that ends does not call return()', async () => {
    let returned = 0;
    const values = generate(1);
    const iterable = {
      [Symbol.asyncIterator]: () => ({
        next: () => values.next(),
        return: async () => {
          returned++;
          return { done: true as const, value: undefined };
        },
      }),
    };
    const processing = new Processing(() => iterable);
    processing.publish([1]);
    await turns();
    expect([processing.values, processing.statuses, returned]).toEqual([[1], ['1#1 acked'], 0]);
  });
});
