import { Observable, type Subscriber, type TeardownLogic } from 'rxjs';
import { describe } from './describe.js';

/**
 * An Observable of this RxJS, of another version or copy of RxJS, or of another library. All but
 * the first have a method `Symbol.observable`, or `'@@observable'` if they were loaded before that
 * symbol was defined.
 */
type AnyObservable<Value> = Observable<Value> | { readonly [key: PropertyKey]: unknown };

interface Subscribable {
  subscribe(observer: object): unknown;
}

/** Whether a value is an Observable of any library. */
export function isObservable<Value>(value: unknown): value is AnyObservable<Value> {
  if (value instanceof Observable) return true;
  if (!isObject(value)) return false;
  return (
    observableKey(value) !== undefined ||
    (isSubscribable(value) && typeof (value as { lift?: unknown }).lift === 'function')
  );
}

/**
 * Converts an Observable of any library to one of this RxJS, which accepts a `Sink`. Returns one of
 * this RxJS unchanged.
 * @throws {TypeError} if its `Symbol.observable` returns no Observable
 */
export function toOwnObservable<Value>(value: AnyObservable<Value>): Observable<Value> {
  if (value instanceof Observable) return value;
  const key = observableKey(value);
  const source = key === undefined ? value : (value as { [key: PropertyKey]: () => unknown })[key]?.();
  if (source instanceof Observable) return source;
  if (!isSubscribable(source)) {
    throw new TypeError(
      `Expected \`Symbol.observable\` of ${describe(value)} to return an Observable, got ${describe(source)}`,
    );
  }
  return new Observable((subscriber) => subscribe(source, subscriber));
}

/** @throws {TypeError} if the value is not an Observable of any library */
export function checkObservable<Value>(name: string, value: unknown): Observable<Value> {
  if (!isObservable<Value>(value))
    throw new TypeError(`Expected \`${name}\` to be an Observable, got ${describe(value)}`);
  return toOwnObservable(value);
}

function subscribe<Value>(source: Subscribable, subscriber: Subscriber<Value>): TeardownLogic {
  const subscription = source.subscribe(observerOf(subscriber));
  if (typeof subscription === 'function') return () => subscription();
  if (!isObject(subscription) || typeof subscription.unsubscribe !== 'function') return;
  return () => (subscription as { unsubscribe: () => void }).unsubscribe();
}

/**
 * Creates a plain object with the members that another copy of RxJS 7 expects of a subscriber. That
 * copy emits into it directly, and stops when `closed` is true, also before `subscribe` returns.
 */
function observerOf<Value>(subscriber: Subscriber<Value>): object {
  return {
    next(this: { unsubscribe?: () => void } | undefined, value: Value): void {
      subscriber.next(value);
      // RxJS 6 calls it on an object of its own, whose `unsubscribe` is the only way to stop before
      // `subscribe` returns.
      if (subscriber.closed) this?.unsubscribe?.();
    },
    error: (error: unknown) => subscriber.error(error),
    complete: () => subscriber.complete(),
    get closed() {
      return subscriber.closed;
    },
    add: (teardown: TeardownLogic) => subscriber.add(teardown),
    remove: (teardown: Exclude<TeardownLogic, void>) => subscriber.remove(teardown),
    unsubscribe: () => subscriber.unsubscribe(),
  };
}

/** Read for each value: a library that is loaded later may define `Symbol.observable`. */
function observableKey(value: { readonly [key: PropertyKey]: unknown }): PropertyKey | undefined {
  const symbol: symbol | undefined = Symbol.observable;
  if (symbol !== undefined && typeof value[symbol] === 'function') return symbol;
  return typeof value['@@observable'] === 'function' ? '@@observable' : undefined;
}

function isSubscribable(value: unknown): value is Subscribable {
  return isObject(value) && typeof value.subscribe === 'function';
}

function isObject(value: unknown): value is { readonly [key: PropertyKey]: unknown } {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

export function isAsyncIterable<Value>(value: unknown): value is AsyncIterable<Value> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<AsyncIterable<Value>>)[Symbol.asyncIterator] === 'function'
  );
}
