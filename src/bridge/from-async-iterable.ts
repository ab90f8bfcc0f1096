import { Observable } from 'rxjs';
import { describe } from '../internal/describe.js';
import { isAsyncIterable } from '../internal/observables.js';
import { turn } from '../internal/turn.js';

/**
 * Converts an async iterable to an Observable. Each subscription starts its own iteration, with one
 * `next()` at a time.
 *
 * *When to use*: instead of `from` of RxJS, which leaves the iterator open when the subscriber
 * unsubscribes while a `next()` is pending. Here, unsubscribing calls `return()` immediately.
 *
 * *Gotchas*: an Observable has no backpressure. The next value is requested as soon as the last one
 * was emitted. A slower operator, such as `mergeMap` with a concurrency, buffers without a bound.
 *
 * @example
 * ```ts
 * fromAsyncIterable(queue.consume()).pipe(take(3)).subscribe(console.log);
 * ```
 * @throws {TypeError} if `iterable` is not an async iterable
 */
export function fromAsyncIterable<Value>(iterable: AsyncIterable<Value>): Observable<Value> {
  if (!isAsyncIterable(iterable))
    throw new TypeError(`Expected \`iterable\` to be an async iterable, got ${describe(iterable)}`);
  return new Observable((subscriber) => {
    const iterator = iterable[Symbol.asyncIterator]();
    let ended = false;

    const pull = () => {
      if (subscriber.closed) return;
      try {
        iterator.next().then(emit, fail);
      } catch (error) {
        fail(error);
      }
    };
    const emit = ({ done, value }: IteratorResult<Value, unknown>) => {
      if (done) {
        ended = true;
        subscriber.complete();
      } else {
        subscriber.next(value as Value);
        turn.run(pull);
      }
    };
    const fail = (error: unknown) => {
      ended = true;
      subscriber.error(error);
    };

    pull();
    return () => {
      // An error of `return()` has no caller to reject: it becomes an unhandled rejection.
      if (!ended) void (async () => iterator.return?.())();
    };
  });
}
