import { Subscriber } from 'rxjs';

/** Receives the notifications of a source. */
export interface SourceObserver<Value> {
  take(value: Value): void;
  /** The source has ended, with the error if there is one. */
  exhaust(failure?: { readonly error: unknown }): void;
}

/**
 * A subscriber that exists before `subscribe` returns, so that it can leave a source that emits
 * endlessly and synchronously. It also saves the two calls per value of the wrapper that RxJS puts
 * around a plain observer.
 *
 * It has no `#private` members: operators of RxJS 6 call its methods on an object that inherits
 * from it.
 */
export class Sink<Value> extends Subscriber<Value> {
  readonly entersContext: boolean;
  private readonly _observer: SourceObserver<Value>;

  /**
   * @param entersContext whether the observer itself runs the user's code in the context of its
   *   subscriber. Default: false
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
    // A teardown that throws must not hide the end from the consumer.
    try {
      this.unsubscribe();
    } finally {
      this._observer.exhaust(failure);
    }
  }
}
