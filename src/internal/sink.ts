import { Subscriber } from 'rxjs';

/** Who is told what a source does. */
export interface SourceObserver<Value> {
  /** A value came. */
  take(value: Value): void;
  /** The source has ended, after an error if there is one. */
  exhaust(failure?: { readonly error: unknown }): void;
}

/**
 * A subscriber of its own, for two reasons: it exists before `subscribe` returns, so that a source that emits synchronously without an end can be
 * left; and it spares each value the two calls of the wrapper that RxJS puts around a plain observer.
 *
 * It has no `#private` members: operators of RxJS 6 call its methods on an object that inherits from it.
 */
export class Sink<Value> extends Subscriber<Value> {
  readonly entersContext: boolean;
  private readonly _observer: SourceObserver<Value>;

  /**
   * @param entersContext whether the observer runs the user's code in the context of its own
   *   subscriber, in whatever context a value comes. Default: false
   */
  constructor(observer: SourceObserver<Value>, entersContext = false) {
    super();
    this._observer = observer;
    this.entersContext = entersContext;
  }

  protected override _next(value: Value): void {
    this._observer.take(value);
  }

  protected override _error(error: unknown): void {
    this._end({ error });
  }

  protected override _complete(): void {
    this._end();
  }

  private _end(failure?: { readonly error: unknown }): void {
    // A teardown that throws does not keep the end from the consumer.
    try {
      this.unsubscribe();
    } finally {
      this._observer.exhaust(failure);
    }
  }
}
