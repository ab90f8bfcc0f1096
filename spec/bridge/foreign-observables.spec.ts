import { Observable, type ObservableInput, of, Subject } from 'rxjs';
import { map as map6 } from 'rxjs6/operators';
import { toAsyncBatches, toAsyncIterable } from 'sluice';
import { drain, full, pull } from '../support/consumers.js';
import { emitAll, FOREIGN_OBSERVABLES } from '../support/foreign-observables.js';
import { failureOf, rejectionOf, turns } from '../support/promises.js';

const asInput = (value: unknown) => value as ObservableInput<number>;
const interop = (inner: unknown) => asInput({ '@@observable': () => inner });

describe.each(FOREIGN_OBSERVABLES)('An Observable of %s', (_, create) => {
  it('is iterated when it emits within subscribe', async () => {
    expect(await drain(toAsyncIterable(create(emitAll(1, 2))))).toEqual([1, 2]);
  });

  it('is iterated in batches', async () => {
    expect((await drain(toAsyncBatches(create(emitAll(1, 2, 3))))).flat()).toEqual([1, 2, 3]);
  });

  it('is iterated when it emits later', async () => {
    const source = create((producer) => {
      void turns(1).then(emitAll(1, 2).bind(undefined, producer));
      return () => {};
    });
    expect(await drain(toAsyncIterable(source))).toEqual([1, 2]);
  });

  it('throws its error after its values', async () => {
    const source = create((producer) => {
      producer.next(1);
      producer.error(new Error('boom'));
      return () => {};
    });
    const iterator = toAsyncIterable(source);
    expect(await pull(iterator, 1)).toEqual([1]);
    expect(await rejectionOf(iterator.next())).toEqual(new Error('boom'));
  });

  it('is unsubscribed when the loop ends early', async () => {
    let left = 0;
    const source = create((producer) => {
      producer.next(1);
      return () => {
        left++;
      };
    });
    const iterator = full(toAsyncIterable(source));
    expect(await pull(iterator, 1)).toEqual([1]);
    expect(left).toBe(0);
    await iterator.return();
    expect(left).toBe(1);
  });

  it('is unsubscribed when it overflows within subscribe', async () => {
    let left = 0;
    const source = create((producer) => {
      for (const value of [1, 2, 3, 4]) producer.next(value);
      return () => {
        left++;
      };
    });
    const iterated = drain(toAsyncIterable(source, { overflow: 'error', capacity: 1 }));
    expect(await failureOf(iterated)).toMatchObject({ name: 'QueueOverflowError' });
    expect(left).toBe(1);
  });
});

describe.each(FOREIGN_OBSERVABLES.filter(([library]) => library.includes('RxJS')))(
  'A source of %s that never stops emitting',
  (_, create) => {
    it('is stopped within subscribe', async () => {
      let emitted = 0;
      const source = create((producer) => {
        while (!producer.closed && emitted < 1000) producer.next(emitted++);
        return () => {};
      });
      const iterator = toAsyncIterable(source, { overflow: 'error', capacity: 2 });
      expect(await pull(iterator, 2)).toEqual([0, 1]);
      expect(emitted).toBeLessThan(10);
    });
  },
);

describe('A hand-written Observable', () => {
  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a number', 5],
    ['an object without unsubscribe', { closed: false }],
  ])('may return %s from subscribe', async (_, subscription) => {
    const iterator = full(
      toAsyncIterable(
        interop({
          subscribe: (observer: Subject<number>) => {
            observer.next(1);
            return subscription;
          },
        }),
      ),
    );
    expect(await pull(iterator, 1)).toEqual([1]);
    expect(await iterator.return()).toEqual({ done: true, value: undefined });
  });

  it('may detach the methods of the observer', async () => {
    const source = interop({
      subscribe: ({ next, complete }: Subject<number>) => {
        next(1);
        complete();
      },
    });
    expect(await drain(toAsyncIterable(source))).toEqual([1]);
  });

  it('emits nothing after its end', async () => {
    const source = interop({
      subscribe: (observer: Subject<number>) => {
        observer.next(1);
        observer.complete();
        observer.next(2);
        observer.error(new Error('boom'));
      },
    });
    expect(await drain(toAsyncIterable(source))).toEqual([1]);
  });

  it('fails with the error of its subscribe', async () => {
    const source = interop({
      subscribe: (observer: Subject<number>) => {
        observer.next(1);
        throw new Error('boom');
      },
    });
    const iterator = toAsyncIterable(source);
    expect(await pull(iterator, 1)).toEqual([1]);
    expect(await rejectionOf(iterator.next())).toEqual(new Error('boom'));
  });

  it('may return an Observable of this RxJS', async () => {
    expect(await drain(toAsyncIterable(interop(of(1, 2))))).toEqual([1, 2]);
  });

  it.each([
    ['undefined', undefined],
    ['5', 5],
    ['an object', {}],
    ['an instance of Map', new Map()],
  ])('is refused when it returns %s instead of an Observable', async (described, inner) => {
    expect(await rejectionOf(toAsyncIterable(interop(inner)).next())).toMatchObject({
      name: 'TypeError',
      message: expect.stringMatching(new RegExp(`Symbol\\.observable.*got ${described}$`)),
    });
  });
});

describe('An operator of RxJS 6', () => {
  it('may work on a source of this RxJS', async () => {
    const doubled = map6((n: number) => n * 2)(asInput(of(1, 2)) as never);
    expect(doubled).toBeInstanceOf(Observable);
    expect(await drain(toAsyncIterable(asInput(doubled)))).toEqual([2, 4]);
  });

  it('is unsubscribed when the loop ends early', async () => {
    const source = new Subject<number>();
    const iterator = full(toAsyncIterable(asInput(map6((n: number) => n * 2)(source as never))));
    const first = iterator.next();
    source.next(1);
    expect((await first).value).toBe(2);
    await iterator.return();
    expect(source.observed).toBe(false);
  });
});
