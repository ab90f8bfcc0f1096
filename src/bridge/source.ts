import { from, type Observable, type ObservableInput } from 'rxjs';
import { describe } from '../internal/describe.js';
import { isAsyncIterable, isObservable, toOwnObservable } from '../internal/observables.js';
import { fromAsyncIterable } from './from-async-iterable.js';

/**
 * Converts any input of RxJS to an Observable. Async iterables use `fromAsyncIterable`, which
 * closes their iterators.
 * @throws {TypeError} if `source` is not a valid input, or its `Symbol.observable` returns no
 * Observable
 */
export function toObservable<Value>(source: ObservableInput<Value>): Observable<Value> {
  if (isObservable<Value>(source)) return toOwnObservable(source);
  if (isAsyncIterable<Value>(source)) return fromAsyncIterable(source);
  try {
    return from(source);
  } catch (cause) {
    throw new TypeError(`Expected \`source\` to be an Observable, a Promise or an iterable, got ${describe(source)}`, {
      cause,
    });
  }
}
