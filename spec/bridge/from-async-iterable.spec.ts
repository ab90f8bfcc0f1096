import { firstValueFrom, lastValueFrom, type Observer, take, toArray } from 'rxjs';
import { fromAsyncIterable, MemoryBackend } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { rejectionOf, thrownBy, turns, until } from '../support/promises.js';

/** An async iterable that the test resolves, and that counts its calls. */
class ManualIterable implements AsyncIterable<number>, AsyncIterator<number> {
  iterations = 0;
  asked = 0;
  returned = 0;
  #answer: ((result: IteratorResult<number>) => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;

  [Symbol.asyncIterator](): this {
    this.iterations++;
    return this;
  }

  next(): Promise<IteratorResult<number>> {
    this.asked++;
    return new Promise((resolve, reject) => {
      this.#answer = resolve;
      this.#fail = reject;
    });
  }

  async return(): Promise<IteratorResult<number>> {
    this.returned++;
    return { done: true, value: undefined };
  }

  give(value: number): Promise<void> {
    this.#answer?.({ done: false, value });
    return turns(1);
  }

  end(): Promise<void> {
    this.#answer?.({ done: true, value: undefined });
    return turns(1);
  }

  fail(error: unknown): Promise<void> {
    this.#fail?.(error);
    return turns(1);
  }
}

function recorder(): Observer<number> & { readonly events: unknown[] } {
  const events: unknown[] = [];
  return {
    events,
    next: (value) => void events.push(value),
    error: (error: unknown) => void events.push(['error', error]),
    complete: () => void events.push('complete'),
  };
}

async function* count(to: number): AsyncGenerator<number> {
  for (let n = 1; n <= to; n++) yield n;
}

describe('fromAsyncIterable', () => {
  it('emits every value in order, then completes', async () => {
    expect(await lastValueFrom(fromAsyncIterable(count(1000)).pipe(toArray()))).toEqual(upTo(1000));
  });

  it('iterates once per subscription, and not before', async () => {
    const iterable = new ManualIterable();
    const values$ = fromAsyncIterable(iterable);
    await turns();
    expect(iterable.iterations).toBe(0);
    const subscriptions = [values$.subscribe(), values$.subscribe()];
    expect(iterable.iterations).toBe(2);
    for (const subscription of subscriptions) subscription.unsubscribe();
  });

  it('calls return() immediately when unsubscribed while a next() is pending', () => {
    const iterable = new ManualIterable();
    const subscription = fromAsyncIterable(iterable).subscribe();
    expect(iterable.asked).toBe(1);
    subscription.unsubscribe();
    expect(iterable.returned).toBe(1);
  });

  it('emits and requests nothing after unsubscribing', async () => {
    const iterable = new ManualIterable();
    const observer = recorder();
    const subscription = fromAsyncIterable(iterable).subscribe(observer);
    await iterable.give(1);
    subscription.unsubscribe();
    await iterable.give(2);
    expect(observer.events).toEqual([1]);
    expect(iterable.asked).toBe(2);
    expect(iterable.returned).toBe(1);
  });

  it('requests one value at a time', async () => {
    const iterable = new ManualIterable();
    const subscription = fromAsyncIterable(iterable).subscribe();
    await turns();
    expect(iterable.asked).toBe(1);
    await iterable.give(1);
    expect(iterable.asked).toBe(2);
    subscription.unsubscribe();
  });

  it('calls return() once if an operator completes early', async () => {
    const iterable = new ManualIterable();
    const values = lastValueFrom(fromAsyncIterable(iterable).pipe(take(2), toArray()));
    await iterable.give(1);
    await iterable.give(2);
    expect(await values).toEqual([1, 2]);
    expect(iterable.returned).toBe(1);
    expect(iterable.asked).toBe(2);
  });

  it('does not call return() if the iterable ends or fails by itself', async () => {
    const ended = new ManualIterable();
    const observer = recorder();
    fromAsyncIterable(ended).subscribe(observer);
    await ended.end();
    const failed = new ManualIterable();
    const boom = new Error('boom');
    fromAsyncIterable(failed).subscribe(observer);
    await failed.fail(boom);
    expect(observer.events).toEqual(['complete', ['error', boom]]);
    expect([ended.returned, failed.returned]).toEqual([0, 0]);
  });

  it('passes on an error after the values before it', async () => {
    const iterable = new ManualIterable();
    const observer = recorder();
    const boom = new Error('boom');
    fromAsyncIterable(iterable).subscribe(observer);
    await iterable.give(1);
    await iterable.fail(boom);
    expect(observer.events).toEqual([1, ['error', boom]]);
  });

  it.each<[string, AsyncIterable<number>]>([
    [
      'the iteration starts',
      {
        [Symbol.asyncIterator]: () => {
          throw new Error('boom');
        },
      },
    ],
    [
      'next() is called',
      {
        [Symbol.asyncIterator]: () => ({
          next: () => {
            throw new Error('boom');
          },
        }),
      },
    ],
  ])('passes on the error when %s', async (_, iterable) => {
    const error = await rejectionOf(firstValueFrom(fromAsyncIterable(iterable)));
    expect((error as Error).message).toBe('boom');
  });

  it('can be unsubscribed when the iterator has no return()', () => {
    const iterable: AsyncIterable<number> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
    const subscription = fromAsyncIterable(iterable).subscribe();
    subscription.unsubscribe();
    expect(subscription.closed).toBe(true);
  });

  it('unsubscribes from a queue immediately', async () => {
    const queue = new MemoryBackend();
    const observer = recorder();
    const subscription = fromAsyncIterable(queue.consume()).subscribe({
      ...observer,
      next: (payload) => observer.next(numberOf(payload)),
    });
    void publishAll(queue, [1]);
    await turns();
    expect(observer.events).toEqual([1]);
    subscription.unsubscribe();
    void publishAll(queue, [2]);
    await turns();
    expect(observer.events).toEqual([1]);
    expect(queue.size).toBe(1);
    expect(queue.inFlight).toBe(0);
  });

  it('reads a hundred thousand values without growing the stack', async () => {
    let seen = 0;
    const subscription = fromAsyncIterable(count(100_000)).subscribe({ next: () => seen++ });
    await until(() => subscription.closed);
    expect(seen).toBe(100_000);
  });

  it('throws for a value that is not an async iterable', () => {
    expect(thrownBy(() => fromAsyncIterable([1, 2] as unknown as AsyncIterable<number>))).toBeInstanceOf(TypeError);
    expect(thrownBy(() => fromAsyncIterable(null as unknown as AsyncIterable<number>))).toBeInstanceOf(TypeError);
  });
});
