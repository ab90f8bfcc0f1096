import { Observable } from 'rxjs';
import { describe } from '../internal/describe.js';
import { isAsyncIterable } from '../internal/is-async-iterable.js';
import { turn } from '../internal/turn.js';

/**
 * An async iterable as an Observable: each subscription iterates it anew, one `next()` after the other.
 *
 * *When to use*: instead of RxJS's `from`, which leaves the iterator open when it is unsubscribed while a `next()` is pending. Here unsubscribing
 * calls `return()` at once.
 *
 * *Gotchas*: an Observable has no backpressure. The next value is asked for as soon as the last one was emitted; an operator that takes longer, such
 * as `mergeMap` with a concurrency, buffers without a bound.
 *
 * @example
 * ```ts
 * fromAsyncIterable(queue.consume()).pipe(take(3)).subscribe(console.log);
 * ```
 * @throws {TypeError} when `iterable` is not an async iterable
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
      // What fails here fails nobody's call: it shows as an unhandled rejection.
      if (!ended) void (async () => iterator.return?.())();
    };
  });
}
