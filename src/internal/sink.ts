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
  private readonly _tellsFirst: boolean;

  /**
   * @param entersContext whether the observer itself runs the user's code in the context of its
   *   subscriber. Default: false
   * @param tellsFirst whether the observer learns of the end before the source is torn down, which
   *   requeues what is in flight. Default: false
   */
  constructor(observer: SourceObserver<Value>, entersContext = false, tellsFirst = false) {
    super();
    this._observer = observer;
    this.entersContext = entersContext;
    this._tellsFirst = tellsFirst;
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
    // A teardown that throws must not hide the end from the consumer, nor the reverse.
    try {
      if (this._tellsFirst) this._observer.exhaust(failure);
      else this.unsubscribe();
    } finally {
      if (this._tellsFirst) this.unsubscribe();
      else this._observer.exhaust(failure);
    }
  }
}
